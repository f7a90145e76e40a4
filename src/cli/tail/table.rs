//! The latest prices in place, for terminals.

use std::io;

use console::Term;

use super::message::Tick;
use super::prices::Prices;
use crate::topic::{Instrument, Mode};

/// Faster than the eye, slower than the ticks.
const REDRAW_INTERVAL_MS: u64 = 100;
/// So that the age of a tick counts on.
const REFRESH_INTERVAL_MS: u64 = 1_000;

/// A table on the terminal, drawn anew in its own place.
///
/// Dropping it brings the cursor back and leaves the table standing.
#[derive(Debug)]
pub struct Table {
    term: Term,
    content: Prices,
    lines_drawn: usize,
    drawn_at_ms: Option<u64>,
    changed: bool,
}

impl Table {
    /// A table of `instruments`, in this order, on standard output.
    #[must_use]
    pub fn new(instruments: &[Instrument], mode: Mode, url: &str) -> Self {
        let content = Prices::new(instruments, mode, url);
        let term = Term::buffered_stdout();
        Self { term, content, lines_drawn: 0, drawn_at_ms: None, changed: true }
    }

    /// Takes note of a tick; [`Table::redraw`] shows it.
    pub fn tick(&mut self, tick: Tick, now_ms: u64) {
        self.content.tick(tick, now_ms);
        self.changed = true;
    }

    /// Shows a line below the table.
    pub fn notice(&mut self, text: String) {
        self.content.notice(text);
        self.changed = true;
    }

    /// Draws the table, if it is time to.
    ///
    /// # Errors
    ///
    /// Fails if the terminal cannot be written.
    pub fn redraw(&mut self, now_ms: u64) -> io::Result<()> {
        let interval_ms = if self.changed { REDRAW_INTERVAL_MS } else { REFRESH_INTERVAL_MS };
        if self.drawn_at_ms.is_some_and(|drawn| now_ms.saturating_sub(drawn) < interval_ms) {
            return Ok(());
        }
        self.draw(now_ms)
    }

    /// Draws the table for the last time, if it was ever drawn.
    ///
    /// # Errors
    ///
    /// Fails if the terminal cannot be written.
    pub fn finish(&mut self, now_ms: u64) -> io::Result<()> {
        if self.drawn_at_ms.is_some() { self.draw(now_ms) } else { Ok(()) }
    }

    fn draw(&mut self, now_ms: u64) -> io::Result<()> {
        if self.drawn_at_ms.is_none() {
            self.term.hide_cursor()?;
        }
        let (height, width) = self.term.size();
        let lines = self.content.lines(now_ms, usize::from(width), usize::from(height));
        self.term.clear_last_lines(self.lines_drawn.min(usize::from(height).saturating_sub(1)))?;
        for line in &lines {
            self.term.write_line(line)?;
        }
        self.term.flush()?;
        self.lines_drawn = lines.len();
        self.drawn_at_ms = Some(now_ms);
        self.changed = false;
        Ok(())
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        if self.drawn_at_ms.is_some() {
            let _ = self.term.show_cursor();
            let _ = self.term.flush();
        }
    }
}
