"""One Java thread that runs a database's statements, and that can be stopped whatever it does.

The engine looks at its own clock between rows only: a `reduce` over long lists, a text that doubles again and again
or a regular expression that backtracks run on for hours. So each call has a time limit of its own. Past it, the
thread is sent an asynchronous error through the Java machine's tool interface (JVMTI, StopThread), which ends it at its
next safe point; `Thread.stop` itself has gone from Java. The thread is one that Java made: an error that arrives inside
JPype's own code would end the process. It is used no more after that.
"""

from __future__ import annotations

import ctypes
import itertools
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

GRACE = 1.0  # seconds in which a stopped thread has to end; after that it is left behind
_STEP_MS = 50  # between two requests to stop: the engine may have caught the first
_NUMBERS = itertools.count(1)

_POINTER = ctypes.c_void_p
# Places in the function tables that the Java machine hands out (jni.h, jvmti.h): they are fixed by the standard.
_VM_GET_ENV = 6
_FIND_CLASS, _PUSH_FRAME, _POP_FRAME, _NEW_OBJECT, _METHOD_ID = 6, 19, 20, 30, 33
_ALL_THREADS, _STOP_THREAD, _THREAD_INFO, _DEALLOCATE, _ADD_CAPABILITIES = 3, 6, 8, 46, 141
_TOOL_VERSION, _JNI_VERSION, _CAN_SIGNAL_THREAD = 0x300B0000, 0x000A0000, 1 << 10
_LIBRARIES = {"darwin": "lib/server/libjvm.dylib", "win32": "bin/server/jvm.dll"}


class Stopped(Exception):
    """The call was still running at its time limit, and was ended."""


class Failed(Exception):
    """The call raised the Java exception `cause`."""

    def __init__(self, cause: Any) -> None:
        super().__init__(str(cause))
        self.cause = cause


class Worker:
    """Runs Java methods one after the other in one thread: what belongs to a thread, as transactions do, stays."""

    def __init__(self, jpype: Any) -> None:
        self._jpype = jpype
        handles = jpype.JClass("java.lang.invoke.MethodHandles")
        self._handles, self._lookup = handles, handles.publicLookup()
        self._as_interface = jpype.JClass("java.lang.invoke.MethodHandleProxies").asInterfaceInstance
        self._callable = jpype.JClass("java.util.concurrent.Callable")
        self._unit = jpype.JClass("java.util.concurrent.TimeUnit").MILLISECONDS
        self._late = jpype.JClass("java.util.concurrent.TimeoutException")
        self._wrapped = jpype.JClass("java.util.concurrent.ExecutionException")
        self._array = jpype.JArray(jpype.JObject)
        self._prepared: dict[int, tuple[Any, Any, Any]] = {}  # id of a handle -> handle, its arguments, its task
        self._silent = self._do_nothing()
        self._start()

    def _start(self) -> None:
        # A daemon thread: one that was left behind does not keep the process from ending.
        self._name = f"heimdall-{next(_NUMBERS)}"
        threads = self._jpype.JClass("java.lang.Thread").ofPlatform().daemon(True).name(self._name)
        factory = threads.uncaughtExceptionHandler(self._silent).factory()
        self._executor = self._jpype.JClass("java.util.concurrent.Executors").newSingleThreadExecutor(factory)

    def _do_nothing(self) -> Any:
        """A handler of uncaught errors: without one, Java prints those of stopped threads."""
        handler = self._jpype.JClass("java.lang.Thread$UncaughtExceptionHandler")
        method = next(m for m in handler.class_.getMethods() if str(m.getName()) == "uncaughtException")
        kind = self._lookup.unreflect(method).type().dropParameterTypes(0, 1)
        return handler @ self._as_interface(handler.class_, self._handles.empty(kind))

    def method(self, java_class: Any, name: str, parameters: tuple[str, ...]) -> Any:
        """The handle of the public method with this name and these parameter types (short names)."""
        found = next(
            method
            for method in java_class.class_.getMethods()
            if str(method.getName()) == name
            and tuple(str(kind.getSimpleName()) for kind in method.getParameterTypes()) == parameters
        )
        return self._lookup.unreflect(found)

    def chain(self, first: Any, *rest: Any) -> Any:
        """One handle that calls `first`, then each of `rest` on what came back; further parameters come last."""
        for step in rest:
            first = self._handles.collectArguments(step, 0, first)
        return first

    def call(self, handle: Any, arguments: tuple[Any, ...], seconds: float) -> Any:
        """What the method returns. Raises Stopped past the time limit, Failed for an exception in Java."""
        _, holder, run = self._prepared.get(id(handle)) or self._prepare(handle, len(arguments))
        holder[:] = arguments
        task = self._executor.submit(run)
        try:
            return task.get(max(1, round(1000 * seconds)), self._unit)
        except self._late:
            pass
        except self._wrapped as problem:
            raise Failed(problem.getCause()) from None
        self._stop(task)
        raise Stopped

    def _prepare(self, handle: Any, count: int) -> tuple[Any, Any, Any]:
        """The handle as a task that reads its arguments from an array: made once, so that Java compiles it."""
        holder = self._array(count)
        bound = handle.asSpreader(self._array.class_, count).bindTo(holder)
        made = handle, holder, self._callable @ self._as_interface(self._callable.class_, bound)
        self._prepared[id(handle)] = made
        return made

    def _stop(self, task: Any) -> None:
        deadline = time.monotonic() + GRACE
        while not task.isDone() and time.monotonic() < deadline:
            _stop_thread(self._jpype, self._name)
            try:
                task.get(_STEP_MS, self._unit)
            except self._late:
                continue
            except self._wrapped:
                break
        # The error may have come while the thread held the lock of its queue: neither is used again. What belonged
        # to the thread, an open transaction, goes with it.
        self._executor.shutdownNow()
        self._start()

    def close(self) -> None:
        """End the thread."""
        self._executor.shutdownNow()


def _function(table: _POINTER, place: int, *kinds: Any, returns: Any = ctypes.c_int) -> Callable[..., Any]:
    """The function at this place of a JNI or JVMTI table, bound to the table."""
    entries = ctypes.cast(ctypes.cast(table, ctypes.POINTER(_POINTER))[0], ctypes.POINTER(_POINTER))
    function = ctypes.CFUNCTYPE(returns, _POINTER, *kinds)(entries[place])
    return lambda *arguments: function(table, *arguments)


class _ThreadInfo(ctypes.Structure):
    """jvmtiThreadInfo."""

    _fields_ = (
        ("name", _POINTER),
        ("priority", ctypes.c_int),
        ("daemon", ctypes.c_ubyte),
        ("group", _POINTER),
        ("loader", _POINTER),
    )


_TABLES: list[_POINTER] = []  # JVMTI's: asked for once a process, as the Java machine is


def _tables(jpype: Any) -> tuple[_POINTER, _POINTER]:
    """The JNI table of this thread and the JVMTI table. Raises OSError where this Java machine has none."""
    home = Path(str(jpype.JClass("java.lang.System").getProperty("java.home")))
    library = ctypes.CDLL(str(home / _LIBRARIES.get(sys.platform, "lib/server/libjvm.so")))
    machine, count = _POINTER(), ctypes.c_int()
    if library.JNI_GetCreatedJavaVMs(ctypes.byref(machine), 1, ctypes.byref(count)) or count.value != 1:
        raise OSError("no Java machine")
    get = _function(machine, _VM_GET_ENV, _POINTER, ctypes.c_int)
    jni = _POINTER()
    if get(ctypes.addressof(jni), _JNI_VERSION):
        raise OSError("this thread does not know the Java machine")
    if not _TABLES:
        tools = _POINTER()
        if get(ctypes.addressof(tools), _TOOL_VERSION):
            raise OSError("the Java machine has no tool interface")
        wanted = (ctypes.c_uint32 * 4)(_CAN_SIGNAL_THREAD)
        if _function(tools, _ADD_CAPABILITIES, _POINTER)(ctypes.addressof(wanted)):
            raise OSError("the Java machine stops no threads")
        _TABLES.append(tools)
    return jni, _TABLES[0]


def _stop_thread(jpype: Any, name: str) -> None:
    """Send an asynchronous java.lang.Error to the thread of this name; nothing where that cannot be done."""
    try:
        jni, tools = _tables(jpype)
    except OSError:
        return
    _function(jni, _PUSH_FRAME, ctypes.c_int)(256)
    try:
        count, threads = ctypes.c_int(), _POINTER()
        _function(tools, _ALL_THREADS, _POINTER, _POINTER)(ctypes.addressof(count), ctypes.addressof(threads))
        handles = ctypes.cast(threads, ctypes.POINTER(_POINTER))
        for place in range(count.value):
            if _thread_name(tools, handles[place]) == name:
                kind = _function(jni, _FIND_CLASS, ctypes.c_char_p, returns=_POINTER)(b"java/lang/Error")
                find = _function(jni, _METHOD_ID, _POINTER, ctypes.c_char_p, ctypes.c_char_p, returns=_POINTER)
                make = _function(jni, _NEW_OBJECT, _POINTER, _POINTER, _POINTER, returns=_POINTER)
                error = make(kind, find(kind, b"<init>", b"()V"), None)
                _function(tools, _STOP_THREAD, _POINTER, _POINTER)(handles[place], error)
        _function(tools, _DEALLOCATE, _POINTER)(threads)
    finally:
        _function(jni, _POP_FRAME, _POINTER, returns=_POINTER)(None)


def _thread_name(tools: _POINTER, thread: int) -> str:
    info = _ThreadInfo()
    if _function(tools, _THREAD_INFO, _POINTER, _POINTER)(thread, ctypes.addressof(info)) or not info.name:
        return ""
    name = ctypes.string_at(info.name).decode("utf-8", "replace")
    _function(tools, _DEALLOCATE, _POINTER)(info.name)
    return name
