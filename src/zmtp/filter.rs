//! What one subscriber wants: prefixes of the first part, each counted.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::fault::ProtocolError;

/// Different prefixes that one subscriber may hold. One with more is disconnected.
pub const PREFIXES_MAX: usize = 200_000;
/// Bytes of all prefixes of one subscriber. One with more is disconnected.
pub const PREFIX_BYTES_MAX: usize = 16 << 20;

/// The subscriptions of one peer. As in ZeroMQ, a prefix subscribed twice must be cancelled
/// twice, and cancelling what is not subscribed does nothing.
#[derive(Debug, Default)]
pub(super) struct Filter {
    prefixes: BTreeMap<Box<[u8]>, u64>,
    bytes: usize,
}

impl Filter {
    /// Our own subscriptions, however many.
    pub(super) fn own<'a>(prefixes: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut filter = Self::default();
        for prefix in prefixes {
            filter.insert(prefix);
        }
        filter
    }

    pub(super) fn subscribe(&mut self, prefix: &[u8]) -> Result<(), ProtocolError> {
        if let Some(count) = self.prefixes.get_mut(prefix) {
            *count += 1;
            return Ok(());
        }
        if self.prefixes.len() >= PREFIXES_MAX || self.bytes + prefix.len() > PREFIX_BYTES_MAX {
            return Err(ProtocolError::TooManySubscriptions);
        }
        self.insert(prefix);
        Ok(())
    }

    fn insert(&mut self, prefix: &[u8]) {
        if self.prefixes.insert(prefix.into(), 1).is_none() {
            self.bytes += prefix.len();
        }
    }

    pub(super) fn cancel(&mut self, prefix: &[u8]) {
        let Some(count) = self.prefixes.get_mut(prefix) else { return };
        *count -= 1;
        if *count == 0 {
            self.bytes -= prefix.len();
            self.prefixes.remove(prefix);
        }
    }

    /// Different prefixes.
    pub(super) fn len(&self) -> usize {
        self.prefixes.len()
    }

    /// Whether a message whose first part is `topic` is wanted.
    ///
    /// Everything that sorts between a prefix of the topic and the topic begins with that
    /// prefix. So the greatest entry up to the topic is a prefix of it, or what both have in
    /// common is the longest prefix that can still be found.
    pub(super) fn matches(&self, topic: &[u8]) -> bool {
        // Most subscribers want everything.
        if self.prefixes.first_key_value().is_some_and(|(first, _)| first.is_empty()) {
            return true;
        }
        let mut candidate = topic;
        loop {
            let range = (Bound::Unbounded, Bound::Included(candidate));
            let Some((found, _)) = self.prefixes.range::<[u8], _>(range).next_back() else {
                return false;
            };
            let common = found.iter().zip(candidate).take_while(|(a, b)| a == b).count();
            if common == found.len() {
                return true;
            }
            candidate = &candidate[..common];
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_prefix_subscribed_twice_is_cancelled_twice() {
        let mut filter = Filter::default();
        filter.subscribe(b"NSE_").expect("few");
        filter.subscribe(b"NSE_").expect("few");
        filter.cancel(b"NSE_");
        assert!(filter.matches(b"NSE_TCS_LTP"));
        filter.cancel(b"NSE_");
        assert!(!filter.matches(b"NSE_TCS_LTP"));
        filter.cancel(b"NSE_");
        assert_eq!((filter.len(), filter.bytes), (0, 0));
    }

    #[test]
    fn subscriptions_are_bounded_in_number_and_bytes() {
        let mut filter = Filter::default();
        for n in 0..PREFIXES_MAX {
            filter.subscribe(&n.to_be_bytes()).expect("up to the limit");
        }
        assert_eq!(filter.subscribe(b"more"), Err(ProtocolError::TooManySubscriptions));
        assert_eq!(filter.subscribe(&0_usize.to_be_bytes()), Ok(()), "one it already holds");

        let mut filter = Filter::default();
        let long = vec![b'x'; PREFIX_BYTES_MAX];
        filter.subscribe(&long).expect("up to the limit");
        assert_eq!(filter.subscribe(b"y"), Err(ProtocolError::TooManySubscriptions));
        filter.cancel(&long);
        assert_eq!(filter.subscribe(b"y"), Ok(()));
    }

    proptest! {
        #[test]
        fn it_agrees_with_trying_every_prefix(
            prefixes in prop::collection::vec(prop::collection::vec(0..3_u8, 0..5), 0..12),
            topic in prop::collection::vec(0..3_u8, 0..7),
        ) {
            let mut filter = Filter::default();
            for prefix in &prefixes {
                filter.subscribe(prefix).expect("few");
            }
            let expected = prefixes.iter().any(|prefix| topic.starts_with(prefix));
            prop_assert_eq!(filter.matches(&topic), expected);
        }
    }
}
