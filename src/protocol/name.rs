//! Names in text that comes from outside: which are accepted, and how others are shown.
//!
//! An **exchange** is one segment of ASCII letters and digits, or two joined by `_`: more could
//! not be told from the symbol in a bus topic. A **symbol** holds letters and digits of any
//! script, spaces inside, and ASCII punctuation except `<`, `>`, `"` and `\`; so `M&M`, `TCS:50`,
//! `NIFTY 50`, `^GSPC`, `EUR/USD` and `BAJAJ-AUTO` are symbols. What is invisible or changes how
//! other characters are shown (control, bidi and format characters, most combining marks, other
//! blanks) is refused: two names that look the same would be two instruments. Nothing is trimmed
//! or changed in case.

/// Characters of a message that comes from elsewhere.
const MESSAGE_CHARS_MAX: usize = 512;

/// Checks an exchange.
///
/// # Errors
///
/// Says what is wrong, to follow "Exchange".
pub(super) fn check_exchange(name: &str, bytes_max: usize) -> Result<(), String> {
    check_length(name, bytes_max)?;
    let is_segment =
        |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric());
    let ok = match name.split_once('_') {
        Some((first, second)) => is_segment(first) && is_segment(second),
        None => is_segment(name),
    };
    if ok {
        Ok(())
    } else {
        Err("must be letters and digits, with at most one underscore between them".into())
    }
}

/// Checks a symbol.
///
/// # Errors
///
/// Says what is wrong, to follow "Symbol".
pub(super) fn check_symbol(name: &str, bytes_max: usize) -> Result<(), String> {
    check_length(name, bytes_max)?;
    if name.starts_with(' ') || name.ends_with(' ') {
        return Err("begins or ends with a space".into());
    }
    match name.chars().find(|&c| !is_in_symbols(c)) {
        None => Ok(()),
        Some(c) => Err(format!("holds U+{:04X}, which no symbol has", u32::from(c))),
    }
}

/// Whether a name holds characters that no name may hold, whatever else is wrong with it.
pub(super) fn holds_forbidden(name: &str) -> bool {
    !name.chars().all(is_in_symbols)
}

/// Text of a peer, fit to be shown: at most `chars_max` characters, `?` for each that is
/// invisible or changes how others are shown.
pub(super) fn clean(text: &str, chars_max: usize) -> String {
    if text.len() <= chars_max && text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return text.to_owned();
    }
    text.chars().take(chars_max).map(|c| if is_shown(c) { c } else { '?' }).collect()
}

/// Whether text holds nothing that is invisible or changes how the rest is shown.
pub(super) fn is_plain(text: &str) -> bool {
    text.chars().all(is_shown)
}

/// Another party's message, fit to be shown.
pub(super) fn clean_message(text: &str) -> String {
    clean(text, MESSAGE_CHARS_MAX)
}

fn check_length(name: &str, bytes_max: usize) -> Result<(), String> {
    if name.is_empty() {
        return Err("is required".into());
    }
    if name.len() > bytes_max {
        return Err(format!("is longer than {bytes_max} bytes"));
    }
    Ok(())
}

fn is_in_symbols(c: char) -> bool {
    match c {
        '<' | '>' | '"' | '\\' => false,
        ' '..='~' => true,
        _ => c.is_alphanumeric() && is_shown(c),
    }
}

fn is_shown(c: char) -> bool {
    !c.is_control() && (c == ' ' || !c.is_whitespace()) && !is_default_ignorable(c)
}

/// Unicode's `Default_Ignorable_Code_Point`, a little widened: joiners, bidi controls, variation
/// selectors, tags, fillers.
const fn is_default_ignorable(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_exchanges_and_symbols_are_accepted() {
        for exchange in ["NSE", "NSE_INDEX", "nse", "CRYPTO", "B3"] {
            assert_eq!(check_exchange(exchange, 64), Ok(()), "{exchange}");
        }
        for symbol in [
            "RELIANCE",
            "M&M",
            "TCS:50",
            "SOL_INR",
            "NIFTY 50",
            "^GSPC",
            "EUR/USD",
            "BAJAJ-AUTO",
            "NIFTY28MAR2420800CE",
            "BRK.B",
            "ES=F",
            "7203",
            "日経225",
            "a",
            "_",
            "X|Y",
        ] {
            assert_eq!(check_symbol(symbol, 64), Ok(()), "{symbol}");
        }
    }

    #[test]
    fn an_exchange_that_topics_cannot_carry_is_refused() {
        for exchange in ["", "_", "NSE_", "_NSE", "A_B_C", "NSE__X", "NSE INDEX", "NSE:X", "É"] {
            assert!(check_exchange(exchange, 64).is_err(), "{exchange}");
        }
    }

    #[test]
    fn a_symbol_that_looks_like_another_is_refused() {
        for symbol in [
            "",
            " ",
            " TCS",
            "TCS ",
            "TC\u{200b}S",
            "\u{202e}SCT",
            "TCS\u{0}",
            "TCS\n",
            "T\u{a0}S",
            "<b>",
            "a\"b",
            "a\\b",
            "\u{7f}",
            "\u{3164}",
            "TC\u{301}S",
            "\u{feff}TCS",
            "T\u{2028}S",
            "\u{e0041}",
            "🦀",
        ] {
            assert!(check_symbol(symbol, 64).is_err(), "{symbol:?}");
        }
    }

    #[test]
    fn what_turns_text_around_or_is_markup_is_in_no_name() {
        let bidi = ['\u{61c}', '\u{200e}', '\u{200f}'].into_iter();
        let bidi = bidi.chain('\u{202a}'..='\u{202e}').chain('\u{2066}'..='\u{2069}');
        for bad in bidi.chain(['<', '>', '"', '\\']) {
            let name = format!("A{bad}B");
            assert!(check_symbol(&name, 64).is_err() && holds_forbidden(&name), "{bad:?}");
            assert!(check_exchange(&name, 64).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_name_may_have_exactly_as_many_bytes_as_the_limit() {
        assert_eq!(check_symbol(&"é".repeat(32), 64), Ok(()));
        assert!(check_symbol(&"é".repeat(33), 64).is_err());
        assert!(check_exchange(&"N".repeat(65), 64).is_err());
    }

    #[test]
    fn shown_text_is_short_and_holds_nothing_invisible() {
        assert_eq!(clean("a\u{202e}b\nc\u{0}d e", 64), "a?b?c?d e");
        assert_eq!(clean(&"é".repeat(100), 64), "é".repeat(64));
    }
}
