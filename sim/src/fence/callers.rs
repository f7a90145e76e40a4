//! Who may leak: dependencies that look at the world and do nothing with it.
//!
//! A backtrace with names takes a tenth of a second, and hyper asks for the date whenever it is
//! polled. So the place in the program from which it asks is learned by having it ask.

use std::backtrace::Backtrace;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;

use super::report::{self, Leak};
use super::{FENCE, Fence};

/// Frames of the stack that are looked at: the fence, std, and whoever called it.
const FRAMES: usize = 12;
/// Places that can be learned.
const PLACES: usize = 4;

/// Who may leak, by the source that it comes through before it comes through ours, and why.
const HARMLESS: &[(Leak, &str, &str, &str)] = &[
    (
        Leak::Clock,
        "/hyper-1.",
        "/src/common/date.rs",
        "it is polled, and a header that the gateway switches off would need the date",
    ),
    (
        Leak::Entropy,
        "/tungstenite-0.",
        "/src/protocol/frame/mask.rs",
        "clients mask their frames, and the generator of masks seeds itself again and again",
    ),
    (
        Leak::Entropy,
        "/tungstenite-0.",
        "/src/handshake/client.rs",
        "a client's handshake has a key, from the same generator",
    ),
];

type Stack = [usize; FRAMES];

/// How many of the innermost frames are the fence's and std's.
static DEPTH: AtomicUsize = AtomicUsize::new(FRAMES);
/// Which frames may follow them.
static LEARNED: [AtomicUsize; PLACES] = [const { AtomicUsize::new(0) }; PLACES];
/// The stack of a caller that is none of them, to tell where std ends.
static OURS: [AtomicUsize; FRAMES] = [const { AtomicUsize::new(0) }; FRAMES];

/// Somebody leaks. Ends the program unless that is harmless.
#[cold]
#[inline(never)]
pub(super) fn meet(leak: Leak, fence: Fence) {
    // What is done from here on is not the simulation's doing.
    FENCE.set(Fence::Absent);
    let learns = fence == Fence::Learning;
    let stack = stack(if learns { FRAMES } else { frames_to_the_caller() });
    if learns {
        learn(&stack);
    } else if !is_learned(&stack) {
        let trace = Backtrace::force_capture().to_string();
        if !is_harmless(leak, &trace) {
            report::end(leak, &trace);
        }
    }
    FENCE.set(fence);
}

/// Each frame that is found takes time, and hyper asks often.
fn frames_to_the_caller() -> usize {
    FRAMES.min(DEPTH.load(Ordering::Relaxed) + 1)
}

/// The innermost frames, so many; zeros for the others.
fn stack(frames_max: usize) -> Stack {
    let mut frames = [std::ptr::null_mut(); FRAMES];
    #[expect(unsafe_code, reason = "std shows a stack only with names, which takes time")]
    // SAFETY: there is room for as many.
    unsafe {
        libc::backtrace(frames.as_mut_ptr(), frames_max as i32);
    }
    frames.map(|frame| frame as usize)
}

/// Has hyper ask for the date, once a program, and learns from where it does.
pub(super) fn know_hyper() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = FENCE.replace(Fence::Learning);
        let _ = super::time_stands_still();
        let (end, _other_end) = tokio::io::duplex(1);
        let answer =
            |_: Request<Incoming>| async { Ok::<_, Infallible>(Response::new("".to_owned())) };
        let connection =
            pin!(http1::Builder::new().serve_connection(TokioIo::new(end), service_fn(answer)));
        let _ = connection.poll(&mut Context::from_waker(Waker::noop()));
        FENCE.set(before);
    });
}

/// The first stack is ours; the others are hyper's.
fn learn(stack: &Stack) {
    let ours = OURS.each_ref().map(|frame| frame.load(Ordering::Relaxed));
    if ours == [0; FRAMES] {
        OURS.iter().zip(stack).for_each(|(ours, frame)| ours.store(*frame, Ordering::Relaxed));
        return;
    }
    let depth = ours.iter().zip(stack).take_while(|(one, other)| one == other).count();
    let Some(&caller) = stack.get(depth) else { return };
    DEPTH.store(depth, Ordering::Relaxed);
    let (order, mut places) = (Ordering::Relaxed, LEARNED.iter());
    // Who is not learned is looked up by name.
    places.find(|place| place.compare_exchange(0, caller, order, order).is_ok());
}

fn is_learned(stack: &Stack) -> bool {
    let caller = stack.get(DEPTH.load(Ordering::Relaxed)).copied().unwrap_or_default();
    caller != 0 && LEARNED.iter().any(|place| place.load(Ordering::Relaxed) == caller)
}

fn is_harmless(leak: Leak, trace: &str) -> bool {
    let foreign = report::places(trace).take_while(|(_, place)| report::is_foreign(place));
    foreign.into_iter().any(|(_, place)| {
        HARMLESS.iter().any(|(known, package, file, _)| {
            *known == leak && place.contains(package) && place.contains(file)
        })
    })
}
