//! Functions of the C library, in front of its own.
//!
//! A program's own symbols go before those of its libraries, so that all Rust code comes here. What
//! the C library calls itself does not.

#![expect(unsafe_code, reason = "functions of C, handed on with the caller's own arguments")]

use std::ffi::{CStr, c_int, c_long, c_uint, c_void};
use std::mem::transmute;
use std::sync::atomic::{AtomicPtr, Ordering};

use libc::{clockid_t, pthread_attr_t, pthread_t, size_t, ssize_t, time_t, timespec};

use super::report::Leak;
use super::{FENCE, Fence, callers, seeded};
use crate::runtime::EPOCH_UNIX_MS;

/// What clocks show where the fence is open.
const STANDSTILL: timespec = timespec { tv_sec: (EPOCH_UNIX_MS / 1_000) as time_t, tv_nsec: 0 };

/// Whether a simulation asks, who then does not get the real thing. Ends the program if the fence
/// is closed.
fn simulated(leak: Leak) -> bool {
    match FENCE.get() {
        Fence::Absent => false,
        Fence::Open => true,
        fence @ (Fence::Learning | Fence::Closed) => {
            callers::meet(leak, fence);
            true
        }
    }
}

/// The C library's own function of a name.
struct Own(&'static CStr, AtomicPtr<c_void>);

impl Own {
    const fn of(name: &'static CStr) -> Self {
        Self(name, AtomicPtr::new(std::ptr::null_mut()))
    }

    fn find(&self) -> *mut c_void {
        let Self(name, known) = self;
        let mut found = known.load(Ordering::Relaxed);
        if found.is_null() {
            // SAFETY: it is the name of a function.
            found = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) };
            if found.is_null() {
                std::process::abort();
            }
            known.store(found, Ordering::Relaxed);
        }
        found
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(clock: clockid_t, time: *mut timespec) -> c_int {
    type Type = unsafe extern "C" fn(clockid_t, *mut timespec) -> c_int;
    static OWN: Own = Own::of(c"clock_gettime");
    if simulated(Leak::Clock) {
        // SAFETY: the caller wants the time there.
        unsafe { time.write(STANDSTILL) };
        return 0;
    }
    // SAFETY: its type.
    unsafe { transmute::<*mut c_void, Type>(OWN.find())(clock, time) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(buffer: *mut c_void, length: size_t, flags: c_uint) -> ssize_t {
    type Type = unsafe extern "C" fn(*mut c_void, size_t, c_uint) -> ssize_t;
    static OWN: Own = Own::of(c"getrandom");
    // Who asks for nothing asks whether there is such a function.
    if length == 0 {
        return 0;
    }
    if simulated(Leak::Entropy) {
        // SAFETY: the caller's buffer is as long as it says.
        unsafe { fill(buffer.cast(), length) };
        return length as ssize_t;
    }
    // SAFETY: its type.
    unsafe { transmute::<*mut c_void, Type>(OWN.find())(buffer, length, flags) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn getentropy(buffer: *mut c_void, length: size_t) -> c_int {
    type Type = unsafe extern "C" fn(*mut c_void, size_t) -> c_int;
    static OWN: Own = Own::of(c"getentropy");
    if length == 0 {
        return 0;
    }
    if simulated(Leak::Entropy) {
        // SAFETY: the caller's buffer is as long as it says.
        unsafe { fill(buffer.cast(), length) };
        return 0;
    }
    // SAFETY: its type.
    unsafe { transmute::<*mut c_void, Type>(OWN.find())(buffer, length) }
}

/// Fills a buffer from the seed.
unsafe fn fill(buffer: *mut u8, length: usize) {
    // SAFETY: the caller says so.
    let buffer = unsafe { std::slice::from_raw_parts_mut(buffer, length) };
    for part in buffer.chunks_mut(8) {
        part.copy_from_slice(&seeded()[..part.len()]);
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_create(
    thread: *mut pthread_t,
    attributes: *const pthread_attr_t,
    begin: extern "C" fn(*mut c_void) -> *mut c_void,
    argument: *mut c_void,
) -> c_int {
    type Begin = extern "C" fn(*mut c_void) -> *mut c_void;
    type Type =
        unsafe extern "C" fn(*mut pthread_t, *const pthread_attr_t, Begin, *mut c_void) -> c_int;
    static OWN: Own = Own::of(c"pthread_create");
    simulated(Leak::Thread);
    // SAFETY: its type.
    unsafe { transmute::<*mut c_void, Type>(OWN.find())(thread, attributes, begin, argument) }
}

/// In C it takes as many arguments as the call has. On these machines they are all in registers,
/// up to the six that a call can have, so it is the same to take six.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[unsafe(no_mangle)]
unsafe extern "C" fn syscall(
    number: c_long,
    a: c_long,
    b: c_long,
    c: c_long,
    d: c_long,
    e: c_long,
    f: c_long,
) -> c_long {
    type Type =
        unsafe extern "C" fn(c_long, c_long, c_long, c_long, c_long, c_long, c_long) -> c_long;
    static OWN: Own = Own::of(c"syscall");
    match number {
        // SAFETY: the arguments of the call are those of the function.
        libc::SYS_getrandom => unsafe {
            getrandom(a as *mut c_void, b as size_t, c as c_uint) as c_long
        },
        // SAFETY: as above.
        libc::SYS_clock_gettime => unsafe {
            clock_gettime(a as clockid_t, b as *mut timespec).into()
        },
        // SAFETY: its type.
        _ => unsafe { transmute::<*mut c_void, Type>(OWN.find())(number, a, b, c, d, e, f) },
    }
}
