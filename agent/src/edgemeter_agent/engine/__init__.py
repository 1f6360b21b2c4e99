"""A job's measurement, in a process of its own, and the variant processes that it drives.

`python -m edgemeter_agent.engine` reads one EngineJob from its standard input and writes EngineEvents to its
standard output, length-delimited. It ends when the job is done, on SIGTERM, and when its input closes: keep
the pipe open for as long as the measurement is wanted.
"""
