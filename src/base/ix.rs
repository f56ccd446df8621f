//! Index newtypes: a position in one particular table, so that two tables cannot be confused.
//!
//! An index means something only together with the plan it was made for; it is never stored across
//! a reload.

/// Declares one index newtype over `u32`.
macro_rules! index {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u32);

        impl $name {
            /// Makes an index from a position; tables here never hold 2^32 entries.
            pub fn new(position: usize) -> Self {
                debug_assert!(position <= u32::MAX as usize, "table too long");
                Self(position as u32)
            }

            /// The position in its table.
            pub fn index(self) -> usize {
                self.0 as usize
            }
        }
    };
}

index! {
    /// A pool in `Config::pools`.
    PoolIx
}
index! {
    /// An endpoint, counted inside its pool.
    EndpointIx
}
index! {
    /// A monitor in `Config::monitors`.
    MonitorIx
}
index! {
    /// A steered name in `Config::steered`.
    SteeredIx
}
index! {
    /// An alias in `Config::aliases`.
    AliasIx
}
index! {
    /// A rank list interned by one compiled prefix table.
    RankIx
}
index! {
    /// A vantage of this process: 0 is the local one, then `[[vantage]]` in file order.
    VantageIx
}
