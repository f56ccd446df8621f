//! `Computed`: where the data of a name come from that its master file does not hold.

use crate::base::diag::Place;
use crate::base::ix::AliasIx;
use crate::base::ix::SteeredIx;
use crate::base::name::Name;
use crate::base::rr::RrType;

/// An owner name of which some types come from the configuration instead of the master file.
#[derive(Clone, Debug)]
pub struct ComputedOwner {
    /// The owner name.
    pub owner: Name,
    /// Which data.
    pub computed: Computed,
    /// Where the operator wrote it.
    pub place: Place,
}

/// What gives a name's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Computed {
    /// A and AAAA are those of another name.
    Alias(AliasIx),
    /// A policy chooses for each client.
    Steered {
        /// Which steered name it is.
        ix: SteeredIx,
        /// The types that it chooses.
        types: SteeredTypes,
    },
}

/// The types of a steered name whose data are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SteeredTypes {
    /// A and AAAA.
    Addresses {
        /// And the address hints of HTTPS and SVCB.
        hints: bool,
        /// And TXT.
        txt: bool,
    },
    /// A CNAME, which stands for every type.
    Cname,
}

impl Default for SteeredTypes {
    fn default() -> Self {
        Self::Addresses {
            hints: false,
            txt: false,
        }
    }
}

/// How a [`Computed`] is packed into a number: an index below these marks.
const ALIAS: u32 = 1 << 31;
const CNAME: u32 = 1 << 30;
const HINTS: u32 = 1 << 29;
const TXT: u32 = 1 << 28;
const INDEX: u32 = TXT - 1;

impl Computed {
    /// Whether it gives records of a type.
    pub(super) fn gives(self, rtype: RrType) -> bool {
        match self {
            Self::Steered {
                types: SteeredTypes::Cname,
                ..
            } => rtype == RrType::CNAME,
            Self::Steered {
                types: SteeredTypes::Addresses { txt: true, .. },
                ..
            } if rtype == RrType::TXT => true,
            _ => matches!(rtype, RrType::A | RrType::AAAA),
        }
    }

    /// Whether the master file can have no records of a type beside it.
    pub(super) fn excludes(self, rtype: RrType) -> bool {
        match self {
            Self::Steered {
                types: SteeredTypes::Cname,
                ..
            } => !may_be_with_cname(rtype) || rtype == RrType::CNAME,
            _ => rtype == RrType::CNAME || self.gives(rtype),
        }
    }

    /// Whether it is a CNAME.
    pub(super) fn is_cname(self) -> bool {
        self.gives(RrType::CNAME)
    }

    /// Whether HTTPS and SVCB records of the owner get their address hints from it.
    pub(super) fn gives_hints(self) -> bool {
        matches!(
            self,
            Self::Steered {
                types: SteeredTypes::Addresses { hints: true, .. },
                ..
            }
        )
    }

    /// What the owner is, for messages.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Alias(_) => "an alias",
            Self::Steered {
                types: SteeredTypes::Cname,
                ..
            } => "steered with a CNAME",
            Self::Steered { .. } => "steered",
        }
    }

    pub(super) fn pack(self) -> u32 {
        match self {
            Self::Alias(AliasIx(ix)) => ix | ALIAS,
            Self::Steered { ix, types } => {
                let mark = |is_set, mark| if is_set { mark } else { 0 };
                let marks = match types {
                    SteeredTypes::Addresses { hints, txt } => mark(hints, HINTS) | mark(txt, TXT),
                    SteeredTypes::Cname => CNAME,
                };
                ix.0 | marks
            }
        }
    }

    #[inline(always)] // Hot path, once per query for a steered name.
    pub(super) fn unpack(packed: u32) -> Self {
        let ix = packed & INDEX;
        let has = |mark| packed & mark != 0;
        if has(ALIAS) {
            return Self::Alias(AliasIx(ix));
        }
        let types = match has(CNAME) {
            true => SteeredTypes::Cname,
            false => SteeredTypes::Addresses {
                hints: has(HINTS),
                txt: has(TXT),
            },
        };
        Self::Steered {
            ix: SteeredIx(ix),
            types,
        }
    }
}

/// What may be beside a CNAME: its signatures and the denial of its neighbours (RFC 2181 s10.1, RFC 4034 s4).
pub(super) fn may_be_with_cname(rtype: RrType) -> bool {
    matches!(
        rtype,
        RrType::CNAME | RrType::RRSIG | RrType::NSEC | RrType::KEY | RrType::SIG
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_out_and_says_what_it_gives() {
        let steered = |types| Computed::Steered {
            ix: SteeredIx(INDEX),
            types,
        };
        let addresses = |hints, txt| steered(SteeredTypes::Addresses { hints, txt });
        let types = [
            RrType::A,
            RrType::CNAME,
            RrType::TXT,
            RrType::MX,
            RrType::NSEC,
        ];
        for (computed, gives, excludes, gives_hints) in [
            (Computed::Alias(AliasIx(INDEX)), "A", "A CNAME", false),
            (addresses(false, false), "A", "A CNAME", false),
            (addresses(true, false), "A", "A CNAME", true),
            (addresses(false, true), "A TXT", "A CNAME TXT", false),
            (addresses(true, true), "A TXT", "A CNAME TXT", true),
            (
                steered(SteeredTypes::Cname),
                "CNAME",
                "A CNAME TXT MX",
                false,
            ),
        ] {
            assert_eq!(Computed::unpack(computed.pack()), computed);
            let those = |is: &dyn Fn(RrType) -> bool| {
                let those = types.iter().filter(|rtype| is(**rtype));
                those.map(ToString::to_string).collect::<Vec<_>>().join(" ")
            };
            assert_eq!(those(&|rtype| computed.gives(rtype)), gives, "{computed:?}");
            assert_eq!(
                those(&|rtype| computed.excludes(rtype)),
                excludes,
                "{computed:?}"
            );
            assert_eq!(computed.gives_hints(), gives_hints, "{computed:?}");
        }
    }
}
