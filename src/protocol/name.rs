//! Names in text that comes from outside: which are accepted, and how the others are shown.

/// Characters of a message that comes from elsewhere.
const MESSAGE_CHARS_MAX: usize = 512;

/// Text of a peer, fit to be shown: at most `chars_max` characters, `?` for each that is
/// invisible or changes how others are shown.
pub(super) fn clean(text: &str, chars_max: usize) -> String {
    text.chars().take(chars_max).map(|c| if is_visible(c) { c } else { '?' }).collect()
}

/// Another party's message, fit to be shown.
pub(super) fn clean_message(text: &str) -> String {
    clean(text, MESSAGE_CHARS_MAX)
}

fn is_visible(c: char) -> bool {
    !c.is_control()
}
