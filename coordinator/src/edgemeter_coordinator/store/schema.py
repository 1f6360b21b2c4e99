"""The tables. Times are milliseconds of the database's clock since 1970, UTC.

Messages of the contract that nobody queries by field (facts, plans, manifests, results) are kept as
serialized protobuf, which tells old rows from new ones by itself.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("kind", String(8), nullable=False),  # "join" or "user"
    Column("secret_sha256", String(64), nullable=False, unique=True),
    Column("user", String(64), nullable=False),  # whose it is, or who made it
    Column("labels", JSON, nullable=False),  # join: given to the board
    Column("uses_left", Integer),  # join
    Column("expires_at_ms", BigInteger),  # null: never
    Column("created_at_ms", BigInteger, nullable=False),
)

devices = Table(
    "devices",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", String(128), nullable=False, unique=True),
    Column("labels", JSON, nullable=False),
    Column("facts", LargeBinary, nullable=False),  # DeviceFacts
    Column("certificate_sha256", String(64), nullable=False),  # the one that is accepted
    Column("epoch", BigInteger, nullable=False),  # of its newest session
    Column("attached", Boolean, nullable=False),
    Column("last_seen_at_ms", BigInteger),
    Column("joined_at_ms", BigInteger, nullable=False),
)

# What boards are to read beside the meters that they find themselves.
meters = Table(
    "meters",
    metadata,
    Column("device_id", ForeignKey("devices.id"), primary_key=True),
    Column("spec", String(1000), primary_key=True),  # "remote:HOST:PORT?token=…"
    Column("attached_by", String(64), nullable=False),
    Column("attached_at_ms", BigInteger, nullable=False),
)

models = Table(
    "models",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("name", String(128), nullable=False, unique=True),
    Column("file_name", String(256), nullable=False),
    Column("framework", String(32), nullable=False),
    Column("task", String(32), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("parameters", BigInteger, nullable=False),
    Column("signature", LargeBinary, nullable=False),  # Signature
    Column("added_at_ms", BigInteger, nullable=False),
    # "package.module:function" that made it; empty for a file
    Column("function", String(256), nullable=False, server_default=""),
    Column("inputs", LargeBinary),  # Signature, as its user gave it; null where the file tells
    # lab Model: macs, layers, preprocessing; null where an earlier edgemeter added it and did not look
    Column("description", LargeBinary),
)

datasets = Table(
    "datasets",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("name", String(128), nullable=False, unique=True),
    Column("file_name", String(256), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("description", LargeBinary, nullable=False),  # lab Dataset: splits, inputs, classes
    # Of the samples, not of files: part of what names a variant.
    Column("calibration_digest", String(64), nullable=False),
    Column("evaluation_digest", String(64), nullable=False),
    # Blobs made from it; null where it has no evaluation split or no labels.
    Column("evaluation_inputs_blob", String(64)),
    Column("evaluation_labels_blob", String(64)),
    Column("added_at_ms", BigInteger, nullable=False),
    # Null where an earlier edgemeter added it: the file is the .npz that builds read.
    Column("canonical_blob", String(64)),
    Column("training_digest", String(64)),
)

variants = Table(
    "variants",
    metadata,
    Column("id", String(32), primary_key=True),  # of everything that decides its content
    Column("model_digest", ForeignKey("models.digest"), nullable=False),
    Column("dataset_digest", ForeignKey("datasets.digest"), nullable=False),
    Column("recipe", Text, nullable=False),
    Column("state", String(16), nullable=False),  # waiting, converting, ready, failed
    Column("manifest", LargeBinary),  # Manifest, where ready
    Column("error", Text, nullable=False, server_default=""),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("ended_at_ms", BigInteger),
    Index(None, "state"),
)

# What the steps at a recipe's beginning left of a model: built once for all recipes that begin so.
stages = Table(
    "stages",
    metadata,
    Column("id", String(32), primary_key=True),  # of everything that decides its content
    Column("model_digest", ForeignKey("models.digest"), nullable=False),
    Column("steps", Text, nullable=False),  # "low-rank(0.5)+prune(0.5)"; the last is what this stage did
    Column("blob", String(64), nullable=False),
    Column("file_name", String(256), nullable=False),
    Column("stage", LargeBinary, nullable=False),  # Stage
    Column("created_at_ms", BigInteger, nullable=False),
)

studies = Table(
    "studies",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", String(128), nullable=False, unique=True),
    Column("model_digest", ForeignKey("models.digest"), nullable=False),
    Column("dataset_digest", ForeignKey("datasets.digest"), nullable=False),
    Column("plan", LargeBinary, nullable=False),  # Plan
    Column("created_by", String(64), nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("cancelled_at_ms", BigInteger),
    Index(None, "created_at_ms"),
)

study_variants = Table(
    "study_variants",
    metadata,
    Column("study_id", ForeignKey("studies.id"), primary_key=True),
    Column("position", Integer, primary_key=True),  # 0 is the baseline
    Column("variant_id", ForeignKey("variants.id"), nullable=False),
    Column("reused", Boolean, nullable=False),
    # Why the study went on without it, though a later one may have had it built; null where it is measured.
    Column("error", Text),
    UniqueConstraint("study_id", "variant_id"),
    Index(None, "variant_id"),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("study_id", ForeignKey("studies.id"), nullable=False),
    Column("device_id", ForeignKey("devices.id"), nullable=False),
    Column("state", String(16), nullable=False),  # waiting, queued, running, completed, failed, cancelled
    Column("attempt", Integer, nullable=False),  # the newest; 0 before the first
    Column("lease_expires_at_ms", BigInteger),  # where running
    Column("detail", Text, nullable=False, server_default=""),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("ended_at_ms", BigInteger),
    UniqueConstraint("study_id", "device_id"),
    Index(None, "device_id", "state", "created_at_ms"),
)

# A board measures one job at a time, whatever else goes wrong.
Index(
    "uq_jobs_running_device",
    jobs.c.device_id,
    unique=True,
    sqlite_where=text("state = 'running'"),
    postgresql_where=text("state = 'running'"),
)

attempts = Table(
    "attempts",
    metadata,
    Column("job_id", ForeignKey("jobs.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("device_id", ForeignKey("devices.id"), nullable=False),
    Column("started_at_ms", BigInteger, nullable=False),
    Column("ended_at_ms", BigInteger),
    # completed, job_failed, device_failed, cancelled, lost; null while it runs
    Column("outcome", String(16)),
    Column("detail", Text, nullable=False, server_default=""),
)

results = Table(
    "results",
    metadata,
    Column("id", String(32), primary_key=True),  # made by the agent
    Column("job_id", String(32), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("variant_id", ForeignKey("variants.id"), nullable=False),
    Column("late", Boolean, nullable=False),
    Column("payload", LargeBinary, nullable=False),  # Result
    # Quality, once scored: the first metric against labels; one without a name where there is none.
    Column("device_quality", LargeBinary),
    Column("received_at_ms", BigInteger, nullable=False),
    Column("device_metrics", LargeBinary),  # Metrics
    ForeignKeyConstraint(["job_id", "attempt"], ["attempts.job_id", "attempts.number"]),
    UniqueConstraint("job_id", "attempt", "sequence"),
)
