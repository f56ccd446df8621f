//! `PerFamily`: one value for IPv4 and one for IPv6, indexed by [`Family`].

use std::ops::Index;
use std::ops::IndexMut;

use crate::base::prefix::Family;

/// One value per address family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PerFamily<T> {
    /// For IPv4 (type A).
    pub v4: T,
    /// For IPv6 (type AAAA).
    pub v6: T,
}

impl<T> PerFamily<T> {
    /// A value for each, made from the family.
    pub fn from_fn(mut make: impl FnMut(Family) -> T) -> Self {
        Self {
            v4: make(Family::V4),
            v6: make(Family::V6),
        }
    }

    /// The same for both.
    pub fn both(value: T) -> Self
    where
        T: Clone,
    {
        Self {
            v4: value.clone(),
            v6: value,
        }
    }

    /// Another value for each, made from this one.
    pub fn map<U>(self, mut make: impl FnMut(T) -> U) -> PerFamily<U> {
        PerFamily {
            v4: make(self.v4),
            v6: make(self.v6),
        }
    }

    /// References to both.
    pub fn as_ref(&self) -> PerFamily<&T> {
        PerFamily {
            v4: &self.v4,
            v6: &self.v6,
        }
    }

    /// Both, IPv4 first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        [&self.v4, &self.v6].into_iter()
    }
}

impl<T> Index<Family> for PerFamily<T> {
    type Output = T;

    fn index(&self, family: Family) -> &T {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }
}

impl<T> IndexMut<Family> for PerFamily<T> {
    fn index_mut(&mut self, family: Family) -> &mut T {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }
}
