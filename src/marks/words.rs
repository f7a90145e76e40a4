//! Enums whose values have a name for people.

/// Defines an enum of plain values: all of them, their number, and what each is called.
macro_rules! words {
    (
        $(#[$meta:meta])*
        pub enum $name:ident { $($value:ident = $word:literal,)+ }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name { $(#[doc = $word] $value,)+ }

        impl $name {
            /// All, in order.
            pub const ALL: &[Self] = &[$(Self::$value,)+];
            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            /// What it is called.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self { $(Self::$value => $word,)+ }
            }
        }
    };
}
pub(super) use words;
