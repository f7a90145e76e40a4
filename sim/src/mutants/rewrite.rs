//! Writes mutants into a source, each behind its number, without adding a line.

use std::collections::{BTreeMap, BTreeSet};

use super::list::{Genre, Mutant, Place};
use super::sites::{Bytes, Sites};

/// What the sources ask whether a mutant lives.
const IS: &str = "crate::living_mutant::is";

/// A source with mutants in it.
#[derive(Debug, Default)]
pub struct Rewritten {
    /// The source.
    pub text: String,
    /// Which of its bytes are there because of which mutants.
    pub owned: Vec<(Vec<u32>, Bytes)>,
    /// Mutants that cannot stand beside the original.
    pub alone: Vec<u32>,
    /// Mutants that are not of this source, and why.
    pub left_out: Vec<(u32, String)>,
}

impl Rewritten {
    /// The mutants to blame for a complaint of the compiler about these bytes: those of the
    /// closest text around them, or all that are inside.
    #[must_use]
    pub fn blamed(&self, complaint: &Bytes) -> Vec<u32> {
        let around = |bytes: &Bytes| bytes.start <= complaint.start && complaint.end <= bytes.end;
        let closest = self.owned.iter().filter(|(_, bytes)| around(bytes));
        if let Some((numbers, _)) = closest.min_by_key(|(_, bytes)| bytes.len()) {
            return numbers.clone();
        }
        let inside = |bytes: &Bytes| complaint.start < bytes.end && bytes.start < complaint.end;
        let inside = self.owned.iter().filter(|(_, bytes)| inside(bytes));
        inside.flat_map(|(numbers, _)| numbers.iter().copied()).collect()
    }
}

/// Bytes of the source that become something else.
#[derive(Debug)]
struct Edit {
    at: Bytes,
    numbers: Vec<u32>,
    pieces: Vec<Piece>,
}

#[derive(Debug)]
enum Piece {
    Text(String),
    /// There because of one mutant.
    Own(u32, String),
    /// A part of the source, in which there may be further edits.
    Source(Bytes),
}

/// Mutants of one place, with what stands there instead.
type Instead<'a> = [(u32, &'a str)];

fn text(words: impl Into<String>) -> Piece {
    Piece::Text(words.into())
}

/// Writes mutants of one source into it.
///
/// # Errors
///
/// Fails if the source is not Rust.
pub fn rewrite(source: &str, mutants: &[&Mutant]) -> Result<Rewritten, String> {
    let sites = Sites::of(source)?;
    let mut places: BTreeMap<(usize, Genre), Vec<(u32, &str)>> = BTreeMap::new();
    let mut rewritten = Rewritten::default();
    for mutant in mutants {
        match offset(source, mutant.start) {
            Some(at) => {
                let place = places.entry((at, mutant.genre)).or_default();
                place.push((mutant.number, &mutant.replacement));
            }
            None => rewritten.left_out.push((mutant.number, MISFIT.into())),
        }
    }
    let mut edits: Vec<Edit> = sites.consts.iter().map(|at| edit(at, &[], Vec::new())).collect();
    for ((at, genre), instead) in &places {
        match edit_at(source, &sites, *at, *genre, instead) {
            Ok(Some(edit)) => edits.push(edit),
            Ok(None) => rewritten.alone.extend(instead.iter().map(|(number, _)| *number)),
            Err(why) => {
                let left_out = instead.iter().map(|(number, _)| (*number, why.to_owned()));
                rewritten.left_out.extend(left_out);
            }
        }
    }
    // What is inserted comes first, then the outer before the inner.
    edits.sort_by_key(|edit| (edit.at.start, !edit.at.is_empty(), std::cmp::Reverse(edit.at.end)));
    Writer { source, edits: &edits, rewritten: &mut rewritten }.write(0..source.len(), 0);
    let written: BTreeSet<u32> =
        rewritten.owned.iter().flat_map(|(numbers, _)| numbers.iter().copied()).collect();
    let lost = edits.iter().flat_map(|edit| &edit.numbers).filter(|one| !written.contains(one));
    rewritten.left_out.extend(lost.map(|number| (*number, OVERLAPS.to_owned())));
    Ok(rewritten)
}

/// The source with the function around a place being constant no longer. Nothing moves. `None` if
/// no function before that place is constant.
///
/// # Errors
///
/// Fails if the source is not Rust.
pub fn without_const(source: &str, place: usize) -> Result<Option<String>, String> {
    let consts = Sites::of(source)?.consts;
    let before = consts.into_iter().filter(|word| word.end <= place);
    Ok(before.max_by_key(|word| word.end).map(|word| {
        let spaces = " ".repeat(word.len());
        format!("{}{spaces}{}", &source[..word.start], &source[word.end..])
    }))
}

/// The source with one mutant in it, as cargo-mutants would write it.
///
/// # Errors
///
/// Fails if the mutant is not of this source.
pub fn alone(source: &str, mutant: &Mutant) -> Result<String, String> {
    let places = (offset(source, mutant.start), offset(source, mutant.end));
    let (Some(start), Some(end)) = places else { return Err(MISFIT.into()) };
    Ok(format!("{}{}{}", &source[..start], mutant.replacement, &source[end..]))
}

const MISFIT: &str = "the list does not fit the source: was it made from an older one?";
const OVERLAPS: &str = "it overlaps another mutant";
const UNKNOWN: &str = "a kind of change that is not known here";

/// The byte at a place.
fn offset(source: &str, place: Place) -> Option<usize> {
    let mut begin = 0;
    for (line, text) in source.split_inclusive('\n').enumerate() {
        if line + 1 == place.line {
            let mut columns = text.char_indices().map(|(at, _)| at).chain([text.len()]);
            return columns.nth(place.column.checked_sub(1)?).map(|at| begin + at);
        }
        begin += text.len();
    }
    None
}

fn edit(at: &Bytes, instead: &Instead<'_>, pieces: Vec<Piece>) -> Edit {
    let numbers = instead.iter().map(|(number, _)| *number).collect();
    Edit { at: at.clone(), numbers, pieces }
}

/// What becomes of a place; nothing if its mutants cannot stand beside the original.
fn edit_at(
    source: &str,
    sites: &Sites,
    at: usize,
    genre: Genre,
    instead: &Instead<'_>,
) -> Result<Option<Edit>, &'static str> {
    Ok(Some(match genre {
        Genre::FnValue => {
            let bodies = instead.iter().map(|(number, value)| {
                Piece::Own(*number, format!("if {IS}({number}) {{ return {value}; }} "))
            });
            edit(&(at..at), instead, bodies.collect())
        }
        Genre::BinaryOperator => {
            let site = sites.binaries.get(&at).ok_or(MISFIT)?;
            if site.is_chained {
                return Ok(None);
            }
            let operator = &source[site.operator.clone()];
            let pieces = binary(operator, site.left.clone(), site.right.clone(), instead);
            edit(&(site.left.start..site.right.end), instead, pieces)
        }
        Genre::UnaryOperator => {
            let site = sites.unaries.get(&at).ok_or(MISFIT)?;
            let operator = &source[site.operator.clone()];
            let mut pieces = vec![text("(match ("), Piece::Source(site.operand.clone())];
            pieces.push(text(") { __operand => "));
            pieces.extend(instead.iter().map(|(number, _)| {
                Piece::Own(*number, format!("if {IS}({number}) {{ __operand }} else "))
            }));
            pieces.push(text(format!("{{ {operator}__operand }} }})")));
            edit(&(at..site.operand.end), instead, pieces)
        }
        Genre::MatchArm => {
            let site = sites.arms.get(&at).ok_or(MISFIT)?;
            if !site.is_covered && site.guard.is_none() {
                return Ok(None);
            }
            let lives = instead.iter().map(|(number, _)| format!("!{IS}({number})"));
            let lives = lives.collect::<Vec<_>>().join(" && ");
            let end = site.pattern_end;
            match &site.guard {
                None => edit(&(end..end), instead, vec![text(format!(" if {lives}"))]),
                Some(guard) => {
                    let guarded = Piece::Source(guard.clone());
                    let pieces = vec![text(format!("{lives} && (")), guarded, text(")")];
                    edit(guard, instead, pieces)
                }
            }
        }
        Genre::MatchArmGuard => {
            let is_guard = |arm: &&super::sites::Arm| {
                arm.guard.as_ref().is_some_and(|guard| guard.start == at)
            };
            let arm = sites.arms.values().find(is_guard).ok_or(MISFIT)?;
            let guard = arm.guard.clone().ok_or(MISFIT)?;
            let mut pieces = vec![text("(")];
            pieces.extend(instead.iter().map(|(number, value)| {
                Piece::Own(*number, format!("if {IS}({number}) {{ {value} }} else "))
            }));
            pieces.extend([text("{ "), Piece::Source(guard.clone()), text(" })")]);
            edit(&guard, instead, pieces)
        }
        Genre::StructField => {
            let site = sites.fields.get(&at).ok_or(MISFIT)?;
            let base = &source[site.base.clone()];
            let name = &site.name;
            let mut pieces = Vec::new();
            if site.is_short {
                pieces.push(text(format!("{name}: ")));
            }
            pieces.extend(instead.iter().map(|(number, _)| {
                Piece::Own(*number, format!("if {IS}({number}) {{ ({base}).{name} }} else "))
            }));
            pieces.extend([text("{ "), Piece::Source(site.value.clone()), text(" }")]);
            edit(&site.value, instead, pieces)
        }
        Genre::Other => return Err(UNKNOWN),
    }))
}

/// An operation in which another operator may stand. No operand is written twice, so that mutants
/// inside of operands do not multiply.
fn binary(operator: &str, left: Bytes, right: Bytes, instead: &Instead<'_>) -> Vec<Piece> {
    let (left, right) = (Piece::Source(left), Piece::Source(right));
    let choose = |words: &dyn Fn(&str) -> String| {
        let own = instead.iter().map(|(number, operator)| {
            Piece::Own(*number, format!("if {IS}({number}) {{ {} }} else ", words(operator)))
        });
        own.chain([text(format!("{{ {} }}", words(operator)))]).collect::<Vec<_>>()
    };
    let mut pieces;
    match operator {
        // The right operand is asked only if the left one does not decide.
        "&&" | "||" => {
            let same = if operator == "&&" { "==" } else { "!=" };
            pieces = vec![text("(match ("), left, text(") { __left => if __left ")];
            pieces.push(text(same));
            let asked = instead.iter().map(|(number, _)| format!("{IS}({number})"));
            pieces.push(text(format!(" ({})", asked.collect::<Vec<_>>().join(" || "))));
            pieces.extend([text(" { __left } else { "), right, text(" } })")]);
        }
        "==" | "!=" | "<" | "<=" | ">" | ">=" => {
            pieces = vec![text("(match (&("), left, text("), &("), right];
            pieces.push(text(")) { (__left, __right) => "));
            pieces.extend(choose(&|operator| format!("*__left {operator} *__right")));
            pieces.push(text(" })"));
        }
        _ if operator.ends_with('=') => {
            pieces = vec![text("(match ("), right, text(") { __right => match &mut ("), left];
            pieces.push(text(") { __left => "));
            pieces.extend(choose(&|operator| format!("*__left {operator} __right")));
            pieces.push(text(" } })"));
        }
        _ => {
            pieces = vec![text("(match ("), left, text(", "), right];
            pieces.push(text(") { (__left, __right) => "));
            pieces.extend(choose(&|operator| format!("__left {operator} __right")));
            pieces.push(text(" })"));
        }
    }
    pieces
}

struct Writer<'a> {
    source: &'a str,
    edits: &'a [Edit],
    rewritten: &'a mut Rewritten,
}

impl Writer<'_> {
    /// Writes these bytes of the source, with the edits inside of them, from that number on.
    fn write(&mut self, bytes: Bytes, first: usize) {
        let mut done = bytes.start;
        let edits = self.edits;
        for (number, edit) in edits.iter().enumerate().skip(first) {
            if edit.at.start < done || edit.at.end > bytes.end {
                continue;
            }
            self.rewritten.text.push_str(&self.source[done..edit.at.start]);
            done = edit.at.end;
            let begin = self.rewritten.text.len();
            for piece in &edit.pieces {
                match piece {
                    Piece::Text(words) => self.rewritten.text.push_str(words),
                    Piece::Own(owner, words) => {
                        let begin = self.rewritten.text.len();
                        self.rewritten.text.push_str(words);
                        let own = begin..self.rewritten.text.len();
                        self.rewritten.owned.push((vec![*owner], own));
                    }
                    Piece::Source(inner) => self.write(inner.clone(), number + 1),
                }
            }
            if !edit.numbers.is_empty() {
                let whole = begin..self.rewritten.text.len();
                self.rewritten.owned.push((edit.numbers.clone(), whole));
            }
        }
        self.rewritten.text.push_str(&self.source[done..bytes.end]);
    }
}

#[cfg(test)]
mod tests;
