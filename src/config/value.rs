//! One value on its way from a file or a variable into the configuration.

use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use toml::de::DeValue;

use super::problem::nearest;
use super::{BrokerKind, ReplayStart};
use crate::topic::Role;

/// A value as it was written, before anybody asked whether it fits.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Given<'a> {
    Text(Cow<'a, str>),
    Whole(i128),
    Real(f64),
    Flag(bool),
    List(Vec<Given<'a>>),
    /// Something that no key takes, by its name.
    Other(&'static str),
}

/// What a key holds, and where in `T`.
#[derive(Debug)]
pub(super) enum Slot<T> {
    Text(fn(&mut T) -> &mut String),
    /// One of these words.
    Choice(fn(&mut T) -> &mut String, &'static [&'static str]),
    Flag(fn(&mut T) -> &mut bool),
    List(fn(&mut T) -> &mut Vec<String>),
    Millis(fn(&mut T) -> &mut u64, RangeInclusive<u64>),
    Count(fn(&mut T) -> &mut usize, RangeInclusive<usize>),
    Bytes(fn(&mut T) -> &mut usize, RangeInclusive<usize>),
    Role(fn(&mut T) -> &mut Role),
    MaybeText(fn(&mut T) -> &mut Option<String>),
    MaybePath(fn(&mut T) -> &mut Option<PathBuf>),
    MaybeKind(fn(&mut T) -> &mut Option<BrokerKind>),
    MaybeStart(fn(&mut T) -> &mut Option<ReplayStart>),
    MaybeFlag(fn(&mut T) -> &mut Option<bool>),
    MaybeWhole(fn(&mut T) -> &mut Option<u64>),
    MaybeReal(fn(&mut T) -> &mut Option<f64>),
}

impl<'a> Given<'a> {
    pub(super) fn from_toml(value: &'a DeValue<'a>) -> Self {
        match value {
            DeValue::String(text) => Self::Text(Cow::Borrowed(text)),
            DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
                .map_or(Self::Other("a number beyond all limits"), Self::Whole),
            DeValue::Float(number) => number
                .as_str()
                .parse()
                .map_or(Self::Other("a number beyond all limits"), Self::Real),
            DeValue::Boolean(flag) => Self::Flag(*flag),
            DeValue::Datetime(_) => Self::Other("a date"),
            DeValue::Array(values) => {
                Self::List(values.iter().map(|value| Self::from_toml(value.get_ref())).collect())
            }
            DeValue::Table(_) => Self::Other("a table"),
        }
    }
}

impl fmt::Display for Given<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "the text {text:?}"),
            Self::Whole(number) => write!(f, "{number}"),
            Self::Real(number) => write!(f, "{number:?}"),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::List(_) => f.write_str("a list"),
            Self::Other(what) => f.write_str(what),
        }
    }
}

impl<T> Slot<T> {
    /// Reads the text of an environment variable as what this slot takes; as text where it is
    /// not that.
    pub(super) fn read<'a>(&self, text: &'a str) -> Given<'a> {
        let trimmed = text.trim();
        let as_text = || Given::Text(Cow::Borrowed(text));
        match self {
            Self::Text(_)
            | Self::Choice(..)
            | Self::Role(_)
            | Self::MaybeText(_)
            | Self::MaybePath(_)
            | Self::MaybeKind(_)
            | Self::MaybeStart(_) => as_text(),
            Self::Flag(_) | Self::MaybeFlag(_) => {
                trimmed.parse().map_or_else(|_| as_text(), Given::Flag)
            }
            Self::List(_) => Given::List(
                trimmed
                    .split(',')
                    .map(str::trim)
                    .filter(|item| !item.is_empty())
                    .map(|item| Given::Text(Cow::Borrowed(item)))
                    .collect(),
            ),
            Self::Millis(..) | Self::Count(..) | Self::Bytes(..) | Self::MaybeWhole(_) => {
                trimmed.replace('_', "").parse().map_or_else(|_| as_text(), Given::Whole)
            }
            Self::MaybeReal(_) => trimmed.parse().map_or_else(|_| as_text(), Given::Real),
        }
    }

    /// Puts `given` in its place in `target`. An optional value is unset by an empty text.
    ///
    /// # Errors
    ///
    /// Says what the value must be. `target` is unchanged then.
    pub(super) fn set(&self, target: &mut T, given: Given<'_>) -> Result<(), String> {
        match self {
            Self::Text(at) => *at(target) = text(given)?,
            Self::Choice(at, words) => *at(target) = choice(&given, words)?.to_owned(),
            Self::Flag(at) => *at(target) = flag(&given)?,
            Self::List(at) => *at(target) = list(given)?,
            Self::Millis(at, range) => {
                *at(target) = whole(&given, "a whole number of milliseconds", range, " ms")?;
            }
            Self::Count(at, range) => *at(target) = whole(&given, "a whole number", range, "")?,
            Self::Bytes(at, range) => {
                *at(target) = whole(&given, "a whole number of bytes", range, " bytes")?;
            }
            Self::Role(at) => *at(target) = role(&given)?,
            Self::MaybeText(at) => *at(target) = Some(text(given)?).filter(|text| !text.is_empty()),
            Self::MaybePath(at) => {
                *at(target) = Some(text(given)?).filter(|text| !text.is_empty()).map(PathBuf::from);
            }
            Self::MaybeKind(at) => {
                *at(target) = maybe_choice(&given, BrokerKind::ALL, BrokerKind::word)?;
            }
            Self::MaybeStart(at) => {
                *at(target) = maybe_choice(&given, ReplayStart::ALL, ReplayStart::word)?;
            }
            Self::MaybeFlag(at) => *at(target) = maybe_flag(&given)?,
            Self::MaybeWhole(at) => *at(target) = maybe_whole(&given)?,
            Self::MaybeReal(at) => *at(target) = maybe_real(&given)?,
        }
        Ok(())
    }

    /// Says what is wrong with a number that is out of its range.
    pub(super) fn out_of_range(&self, target: &mut T) -> Option<String> {
        match self {
            Self::Millis(at, range) => beyond(*at(target), range, " ms"),
            Self::Count(at, range) => beyond(*at(target), range, ""),
            Self::Bytes(at, range) => beyond(*at(target), range, " bytes"),
            Self::Choice(at, words) => {
                let word = at(target).clone();
                choice(&Given::Text(word.into()), words).err()
            }
            Self::Text(_)
            | Self::Flag(_)
            | Self::List(_)
            | Self::Role(_)
            | Self::MaybeText(_)
            | Self::MaybePath(_)
            | Self::MaybeKind(_)
            | Self::MaybeStart(_)
            | Self::MaybeFlag(_)
            | Self::MaybeWhole(_)
            | Self::MaybeReal(_) => None,
        }
    }
}

fn text(given: Given<'_>) -> Result<String, String> {
    match given {
        Given::Text(text) => Ok(text.into_owned()),
        other => Err(format!("must be text in quotes, got {other}")),
    }
}

fn flag(given: &Given<'_>) -> Result<bool, String> {
    match given {
        Given::Flag(flag) => Ok(*flag),
        other => Err(format!("must be true or false, got {other}")),
    }
}

fn list(given: Given<'_>) -> Result<Vec<String>, String> {
    match given {
        Given::List(items) => items
            .into_iter()
            .map(|item| match item {
                Given::Text(text) => Ok(text.into_owned()),
                other => Err(format!("must be a list of texts, got {other} in it")),
            })
            .collect(),
        other => Err(format!("must be a list of texts, got {other}")),
    }
}

fn role(given: &Given<'_>) -> Result<Role, String> {
    let names = || Role::ALL.map(Role::as_str);
    match given {
        Given::Text(text) => text.parse().map_err(|_| {
            let hint = nearest(text, names()).map(|near| format!("; did you mean {near:?}?"));
            format!(
                "must be one of {}, got {text:?}{}",
                names().join(", "),
                hint.unwrap_or_default()
            )
        }),
        other => Err(format!("must be one of {}, got {other}", names().join(", "))),
    }
}

/// One of these, by its word.
fn maybe_choice<C: Copy, const N: usize>(
    given: &Given<'_>,
    all: [C; N],
    word: impl Fn(C) -> &'static str,
) -> Result<Option<C>, String> {
    if matches!(given, Given::Text(text) if text.is_empty()) {
        return Ok(None);
    }
    let chosen = choice(given, &all.map(&word))?;
    Ok(all.into_iter().find(|it| word(*it) == chosen))
}

fn maybe_flag(given: &Given<'_>) -> Result<Option<bool>, String> {
    match given {
        Given::Text(text) if text.trim().is_empty() => Ok(None),
        given => flag(given).map(Some),
    }
}

/// One of a few words.
fn choice(given: &Given<'_>, words: &[&'static str]) -> Result<&'static str, String> {
    let quoted: Vec<_> = words.iter().map(|word| format!("{word:?}")).collect();
    let wanted = match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.concat(),
    };
    let Given::Text(text) = given else { return Err(format!("must be {wanted}, got {given}")) };
    if let Some(word) = words.iter().find(|word| **word == &**text) {
        return Ok(word);
    }
    Err(match nearest(text, words.iter().copied()) {
        Some(near) => format!("must be {wanted}, got {text:?}; did you mean {near:?}?"),
        None => format!("must be {wanted}, got {text:?}"),
    })
}

fn maybe_whole(given: &Given<'_>) -> Result<Option<u64>, String> {
    match given {
        Given::Text(text) if text.trim().is_empty() => Ok(None),
        given => whole(given, "a whole number", &(0..=u64::MAX), "").map(Some),
    }
}

fn maybe_real(given: &Given<'_>) -> Result<Option<f64>, String> {
    match given {
        Given::Text(text) if text.trim().is_empty() => Ok(None),
        Given::Real(number) => Ok(Some(*number)),
        #[expect(clippy::cast_precision_loss, reason = "a rate; the range check follows")]
        Given::Whole(number) => Ok(Some(*number as f64)),
        other => Err(format!("must be a number, got {other}")),
    }
}

/// A number that fits its type. The range is checked once everything is in place.
fn whole<N: TryFrom<i128> + fmt::Display>(
    given: &Given<'_>,
    wanted: &str,
    range: &RangeInclusive<N>,
    unit: &str,
) -> Result<N, String> {
    match given {
        Given::Whole(number) => N::try_from(*number).map_err(|_| out_of_range(number, range, unit)),
        other => Err(format!("must be {wanted}, got {other}")),
    }
}

fn beyond<N: PartialOrd + fmt::Display>(
    number: N,
    range: &RangeInclusive<N>,
    unit: &str,
) -> Option<String> {
    (!range.contains(&number)).then(|| out_of_range(number, range, unit))
}

fn out_of_range(
    number: impl fmt::Display,
    range: &RangeInclusive<impl fmt::Display>,
    unit: &str,
) -> String {
    format!("must be between {} and {}{unit}, got {number}", range.start(), range.end())
}
