"""Decorators for users' functions: registration for an engine, and access to the context."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, overload

from odibi_nb.core.functions.current_context import CURRENT
from odibi_nb.core.functions.registry import ANY_ENGINE, REGISTRY

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Function = TypeVar("Function", bound="Callable[..., Any]")


@overload
def odibi_function(engine: Function, /) -> Function: ...
@overload
def odibi_function(
    engine: str = ANY_ENGINE,
    name: str | None = None,
    module: str | None = None,
    auto_register: bool = True,
    **metadata: Any,
) -> Callable[[Function], Function]: ...
def odibi_function(
    engine: Any = ANY_ENGINE,
    name: str | None = None,
    module: str | None = None,
    auto_register: bool = True,
    **metadata: Any,
) -> Any:
    """Register the decorated function without changing it. Works with and without parentheses.

    Args:
        engine: ``spark``, ``pandas`` or ``any``.
        name: the name of the function in rows; by default its own name.
        module: a second name that rows may use for the function's module.
        auto_register: if False, do not register the function.
        **metadata: values that `FunctionRegistry.get_metadata` returns.
    """
    if not isinstance(engine, str):
        return odibi_function()(engine)

    def decorate(fn: Function) -> Function:
        if auto_register:
            own = str(name or getattr(fn, "__name__", ""))
            REGISTRY.register(own, engine, fn, module=module, **metadata)
        return fn

    return decorate


class EngineDecorator(Protocol):
    """`odibi_function` for one engine; works with and without parentheses."""

    @overload
    def __call__(self, name: Function, /) -> Function: ...
    @overload
    def __call__(
        self, name: str | None = None, module: str | None = None, **metadata: Any
    ) -> Callable[[Function], Function]: ...


def _for_engine(engine: str) -> EngineDecorator:
    def engine_function(name: Any = None, module: str | None = None, **metadata: Any) -> Any:
        """Register the decorated function for one engine; see `odibi_function`."""
        if callable(name):
            return odibi_function(engine)(name)
        return odibi_function(engine, name, module, **metadata)

    return engine_function


spark_function = _for_engine("spark")
"""`odibi_function` for the Spark engine."""

pandas_function = _for_engine("pandas")
"""`odibi_function` for the pandas engine."""

universal_function = _for_engine(ANY_ENGINE)
"""`odibi_function` for every engine."""


@overload
def with_context(context_param: Function, /) -> Function: ...
@overload
def with_context(context_param: str = "context") -> Callable[[Function], Function]: ...
def with_context(context_param: Any = "context") -> Any:
    """Fill the parameter *context_param* with the running transformation's context.

    If the caller passes a value, the function gets that value. Outside a run, the parameter has its
    default value. Works with and without parentheses.
    """
    if not isinstance(context_param, str):
        return with_context()(context_param)

    def decorate(fn: Function) -> Function:
        signature = inspect.signature(fn)
        if context_param not in signature.parameters:
            return fn

        @functools.wraps(fn)
        def call(*args: Any, **kwargs: Any) -> Any:
            context = CURRENT.get()
            if context is not None and context_param not in _bound(signature, args, kwargs):
                kwargs[context_param] = context
            return fn(*args, **kwargs)

        call._odibi_context_param = context_param  # type: ignore[attr-defined]  # noqa: SLF001  a mark on our own wrapper
        return call  # type: ignore[return-value]

    return decorate


def _bound(signature: inspect.Signature, args: Any, kwargs: Any) -> Mapping[str, Any]:
    """Return the parameters that a call fills; for an invalid call, only its keyword arguments."""
    try:
        return signature.bind_partial(*args, **kwargs).arguments
    except TypeError:
        return kwargs  # type: ignore[no-any-return]
