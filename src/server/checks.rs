//! How often a shell has its machine check itself, where debug assertions are on.

/// The machine is checked once in so many turns. A check costs time in proportion to all that the
/// machine holds, and a rule that is broken mostly stays broken; the walk checks after each event.
const TURNS: u32 = 8;

/// Counts turns.
#[derive(Debug, Default)]
pub(super) struct Checks(u32);

impl Checks {
    /// Whether it is time to check, at the end of a turn.
    pub const fn is_due(&mut self) -> bool {
        self.0 = self.0.wrapping_add(1);
        self.0.is_multiple_of(TURNS)
    }
}
