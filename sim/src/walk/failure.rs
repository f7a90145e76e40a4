//! A walk that went wrong, and how to see why.

use std::cell::RefCell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::model::words::Step;

/// Steps that are shown.
const STEPS_SHOWN: usize = 30;

thread_local! {
    /// The last panic of this thread in words, if [`record_panics`] was called.
    static LAST_PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// From now on panics of this process are not printed where they happen: a walk that fails is
/// taken again and again to find its shortest beginning. Its report says where it panicked.
pub fn record_panics() {
    std::panic::set_hook(Box::new(|panic| {
        LAST_PANIC.with_borrow_mut(|last| *last = Some(panic.to_string()));
    }));
}

/// What went wrong, and the steps that led to it.
#[derive(Clone, Debug)]
pub struct Failure {
    /// In words.
    pub reason: String,
    /// Every step, with its time.
    pub trail: Vec<(u64, Step)>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.reason)?;
        let hidden = self.trail.len().saturating_sub(STEPS_SHOWN);
        if hidden > 0 {
            writeln!(f, "  ({hidden} events before these)")?;
        }
        for (number, (at_ms, step)) in self.trail.iter().enumerate().skip(hidden) {
            writeln!(f, "  {number:>4}  {at_ms:>7} ms  {step}")?;
        }
        Ok(())
    }
}

/// Runs `body`; a panic in it is a failure with the panic's message.
pub(super) fn caught(body: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    let result = catch_unwind(AssertUnwindSafe(body));
    result.unwrap_or_else(|panic| {
        if let Some(recorded) = LAST_PANIC.with_borrow_mut(Option::take) {
            return Err(recorded);
        }
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Err(format!("panicked: {}", text.unwrap_or_else(|| "without a message".into())))
    })
}
