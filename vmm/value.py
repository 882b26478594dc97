"""Frozen, slotted value classes without the start-up cost of ``dataclasses``.

To a type checker ``@value`` *is* a frozen dataclass. At run time it gives the same constructor,
equality, hash and ``repr`` from the class annotations, but imports nothing: ``dataclasses`` pulls
in ``inspect`` and ``re``, which is longer than the whole of a machine's construction.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar, dataclass_transform

    _T = TypeVar("_T")

    @dataclass_transform(frozen_default=True)
    def value(cls: type[_T]) -> type[_T]: ...

    def replace(instance: _T, **changes: object) -> _T: ...

else:

    def value(cls):
        """Turn an annotated class into a frozen value class.

        Defaults must be immutable. Subclassing a value class is not supported: values are leaves.
        """
        names = tuple(cls.__annotations__)
        defaults = {name: cls.__dict__[name] for name in names if name in cls.__dict__}
        namespace = {
            key: member
            for key, member in cls.__dict__.items()
            if key not in defaults and key not in ("__dict__", "__weakref__")
        }
        namespace["__slots__"] = names
        namespace["__match_args__"] = names
        setters = []
        namespace.setdefault("__init__", _constructor(names, defaults, setters))
        namespace.setdefault("__eq__", _equal)
        namespace.setdefault("__hash__", _hash)
        namespace.setdefault("__repr__", _repr)
        namespace["__setattr__"] = _refuse
        namespace["__delattr__"] = _refuse
        namespace["__reduce__"] = _reduce
        made = type(cls.__name__, cls.__bases__, namespace)
        setters += [slot.__set__ for slot in map(made.__dict__.get, names)]
        return made

    def replace(instance, **changes):
        """Return a copy of ``instance`` with some fields changed."""
        fields = {name: getattr(instance, name) for name in instance.__slots__}
        return type(instance)(**{**fields, **changes})

    def _constructor(names, defaults, setters):
        count = len(names)
        store = object.__setattr__

        def __init__(self, *args, **kwargs):
            if len(args) == count and not kwargs:
                for put, item in zip(setters, args, strict=False):
                    put(self, item)
                return
            if len(args) > count:
                raise TypeError(f"{type(self).__name__} takes at most {count} values")
            for name, item in zip(names, args, strict=False):
                store(self, name, item)
            for name in names[len(args) :]:
                if name in kwargs:
                    store(self, name, kwargs.pop(name))
                elif name in defaults:
                    store(self, name, defaults[name])
                else:
                    raise TypeError(f"{type(self).__name__} needs a value for {name!r}")
            if kwargs:
                raise TypeError(f"{type(self).__name__} has no field {next(iter(kwargs))!r}")

        return __init__

    def _fields(self):
        return tuple([getattr(self, name) for name in self.__slots__])

    def _equal(self, other):
        if type(other) is not type(self):
            return NotImplemented
        return _fields(self) == _fields(other)

    def _hash(self):
        return hash((type(self), _fields(self)))

    def _repr(self):
        inner = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__)
        return f"{type(self).__name__}({inner})"

    def _refuse(self, name, *_):
        raise AttributeError(f"{type(self).__name__} is frozen: {name!r} cannot change")

    def _reduce(self):
        return type(self), _fields(self)
