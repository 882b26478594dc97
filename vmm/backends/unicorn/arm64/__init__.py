"""arm64 processors on the engine.

`vcpu` is the processor, `psci` the firmware that it calls, `timer` its generic timer. It has one of
two cores: `native` opens the engine's inside; `public` uses the engine's public interface alone,
and does in Python what is missing there. `registers` are the system registers by encoding.
"""
