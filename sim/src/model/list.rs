//! Short lists in place.

use std::ops::{Deref, DerefMut};

/// At most `N` items, without an allocation.
#[derive(Clone, Copy, Debug)]
pub struct List<T, const N: usize> {
    len: u8,
    items: [Option<T>; N],
}

impl<T: Copy, const N: usize> List<T, N> {
    /// An empty list.
    #[must_use]
    pub const fn new() -> Self {
        Self { len: 0, items: [None; N] }
    }

    /// Adds an item at the end.
    ///
    /// # Panics
    ///
    /// Panics if there is no room: whoever chose `N` was wrong.
    pub fn push(&mut self, item: T) {
        self.items[usize::from(self.len)] = Some(item);
        self.len += 1;
    }

    /// The items, in order.
    pub fn iter(&self) -> impl Iterator<Item = T> {
        self.items[..usize::from(self.len)].iter().copied().flatten()
    }
}

impl<T: Copy, const N: usize> Default for List<T, N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T, const N: usize> Deref for List<T, N> {
    type Target = [Option<T>];

    fn deref(&self) -> &Self::Target {
        &self.items[..usize::from(self.len)]
    }
}

impl<T, const N: usize> DerefMut for List<T, N> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.items[..usize::from(self.len)]
    }
}

impl<T: Copy, const N: usize> FromIterator<T> for List<T, N> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut list = Self::new();
        for item in items {
            list.push(item);
        }
        list
    }
}

impl<T: PartialEq, const N: usize> PartialEq for List<T, N> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

#[cfg(test)]
mod tests {
    use super::List;

    #[test]
    fn items_come_back_in_order() {
        let list: List<u8, 4> = [3, 1, 2].into_iter().collect();
        assert_eq!(list.iter().collect::<Vec<_>>(), [3, 1, 2]);
        assert_eq!(list.len(), 3);
        assert!(List::<u8, 4>::new().is_empty());
    }
}
