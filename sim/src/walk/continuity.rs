//! What a client may conclude from the numbers of ticks, whatever model and engine agree on.

use std::collections::BTreeMap;

use crate::model::delivery::{Frame, RouteNo};
use crate::model::words::ClientNo;

/// The number of the tick that each client has read last of each route.
#[derive(Clone, Debug, Default)]
pub(super) struct Continuity {
    last: BTreeMap<(ClientNo, RouteNo), u64>,
}

impl Continuity {
    /// A client leaves routes: should it come back, it begins anew.
    pub fn leaves(&mut self, client: ClientNo, is_left: impl Fn(RouteNo) -> bool) {
        self.last.retain(|(who, route), _| *who != client || !is_left(*route));
    }

    /// A client reads something.
    ///
    /// # Errors
    ///
    /// Fails if it misses ticks of which it is not told.
    pub fn reads(&mut self, client: ClientNo, frame: Frame) -> Result<(), String> {
        let Frame::Tick { route, seq, skipped, .. } = frame else { return Ok(()) };
        match self.last.insert((client, route), seq) {
            Some(before) if before + skipped + 1 != seq => {
                Err(format!("c{client} reads {frame:?} after number {before}"))
            }
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tick(route: RouteNo, seq: u64, skipped: u64) -> Frame {
        Frame::Tick { route, number: 0, seq, skipped, snapshot: false }
    }

    #[test]
    fn a_gap_is_one_unless_it_is_told_or_the_route_was_left() {
        let mut read = Continuity::default();
        for frame in [tick(1, 7, 0), tick(2, 1, 3), Frame::Answer(1), tick(1, 8, 0), tick(1, 11, 2)]
        {
            assert_eq!(read.reads(1, frame), Ok(()));
        }
        read.leaves(2, |_| true);
        for untold in [tick(1, 13, 0), tick(1, 13, 0), tick(2, 5, 2), tick(2, 4, 0)] {
            assert!(read.reads(1, untold).is_err(), "{untold:?}");
        }
        read.leaves(1, |route| route == 1);
        assert_eq!(read.reads(1, tick(1, 20, 0)), Ok(()));
        assert!(read.reads(1, tick(2, 20, 0)).is_err());
    }
}
