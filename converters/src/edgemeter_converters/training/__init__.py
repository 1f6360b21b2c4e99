"""Fine-tuning: what every framework's trainer shares (`schedule`, `checkpoint`: numpy only), and the
trainers, one file a framework."""
