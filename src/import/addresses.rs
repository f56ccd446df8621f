//! The addresses of a zone's names: which become steered names, and which stay records.
//!
//! Systems keep A and AAAA apart and let names be aliases of others beside other records. Here both families
//! of a steered name belong together, and an alias is a copy of what its target has in the same zone.

use std::collections::HashMap;
use std::collections::HashSet;
use std::net::IpAddr;

use crate::base::name::Name;
use crate::base::prefix::Family;
use crate::import::draft::Draft;
use crate::import::draft::Notes;
use crate::import::draft::Pool;
use crate::import::draft::Steered;
use crate::import::merge;
use crate::import::merge::Steering;
use crate::import::zone::ZoneDraft;

/// An alias of another name of the zone for the addresses of some families.
struct Alias {
    owner: Name,
    target: Name,
    families: Vec<Family>,
}

/// Static addresses.
type Fixed = HashMap<(Name, Family), (Vec<IpAddr>, u32)>;

/// The addresses of a zone's names.
#[derive(Default)]
pub(super) struct Addresses {
    dynamic: Vec<(Name, Family, Steering)>,
    fixed: Fixed,
    aliases: Vec<Alias>,
}

impl Addresses {
    /// Adds what a name answers clients in one family.
    pub(super) fn add_dynamic(&mut self, owner: &Name, family: Family, steering: Steering) {
        self.dynamic.push((owner.clone(), family, steering));
    }

    /// Adds a name's static addresses, which the zone has as records.
    pub(super) fn add_fixed(&mut self, owner: &Name, family: Family, all: Vec<IpAddr>, ttl: u32) {
        self.fixed.insert((owner.clone(), family), (all, ttl));
    }

    /// Makes a name's addresses those of another.
    pub(super) fn add_alias(&mut self, owner: &Name, target: Name, families: &[Family]) {
        self.aliases.push(Alias {
            owner: owner.clone(),
            target,
            families: families.to_vec(),
        });
    }

    /// Puts the steered names into the draft, and copies of static addresses into the zone; returns the
    /// owners of steered names.
    pub(super) fn finish(mut self, draft: &mut Draft, zone: &mut ZoneDraft) -> HashSet<Name> {
        let merged = self.merged();
        let mut owners: HashSet<Name> = merged.iter().map(|(owner, _)| owner.clone()).collect();
        for (_, mut steering) in merged {
            draft.pools.append(&mut steering.pools);
            draft.steered.push(steering.steered);
        }
        for alias in &self.aliases {
            self.copy(alias, draft, zone, &mut owners);
        }
        owners
    }

    /// The names with a dynamic record, with both families.
    fn merged(&mut self) -> Vec<(Name, Steering)> {
        let mut dynamic = std::mem::take(&mut self.dynamic);
        // A first, so that AAAA finds it.
        dynamic.sort_by_key(|(_, family, _)| *family == Family::V6);
        let mut merged: Vec<(Name, Vec<Family>, Steering)> = Vec::new();
        for (owner, family, steering) in dynamic {
            match merged.iter().position(|(known, ..)| *known == owner) {
                Some(at) => {
                    let (_, mut families, a) = merged.remove(at);
                    families.push(family);
                    merged.insert(at, (owner, families, merge::merge(a, steering)));
                }
                None => merged.push((owner, vec![family], steering)),
            }
        }
        let with_fixed = |(owner, families, mut steering): (Name, Vec<Family>, Steering)| {
            for family in Family::ALL {
                if let Some((addresses, ttl)) = self.fixed.get(&(owner.clone(), family))
                    && !families.contains(&family)
                {
                    merge::add_static(&mut steering, addresses, *ttl);
                }
            }
            (owner, steering)
        };
        merged.into_iter().map(with_fixed).collect()
    }

    /// Gives an alias what its target has.
    fn copy(
        &self,
        alias: &Alias,
        draft: &mut Draft,
        zone: &mut ZoneDraft,
        owners: &mut HashSet<Name>,
    ) {
        let Alias {
            owner,
            target,
            families,
        } = alias;
        let target = self.end_of(target);
        if owners.contains(owner) {
            return;
        }
        if let Some(steered) = draft.steered.iter().find(|s| s.owner == target) {
            let mut steered = steered.clone();
            steered.owner = owner.clone();
            steered.notes = Notes::default();
            steered
                .notes
                .say(format!("An alias of {target}: the same pools."));
            for rule in &mut steered.rules {
                rule.notes = Notes::default();
            }
            self.note_other_family(&mut steered, &target, &draft.pools);
            draft.steered.push(steered);
            owners.insert(owner.clone());
            return;
        }
        let mut is_found = false;
        for family in families {
            if let Some((addresses, ttl)) = self.fixed.get(&(target.clone(), *family)) {
                is_found = true;
                zone.notes()
                    .say(format!("An alias of {target}: a copy of its addresses."));
                let rtype = if *family == Family::V6 { "AAAA" } else { "A" };
                for address in addresses {
                    zone.add(owner, *ttl, rtype, &address.to_string());
                }
            }
        }
        if !is_found {
            let what = format!("{owner} as an alias of {target}");
            let why =
                "the zone has no address of it, and an alias of a name elsewhere is not served";
            zone.notes().missing(&what, why);
            zone.end_notes();
        }
    }

    /// Notes a family that the target of an alias has beside those that it is an alias for.
    fn note_other_family(&self, steered: &mut Steered, target: &Name, pools: &[Pool]) {
        for family in Family::ALL {
            let is_wanted =
                |alias: &Alias| alias.owner == steered.owner && alias.families.contains(&family);
            let has_any = |pool: &Pool| {
                let endpoints = &mut pool.endpoints.iter();
                endpoints.any(|endpoint| Family::of(endpoint.address) == family)
            };
            let mut pools = pools
                .iter()
                .filter(|pool| steered.pools.contains(&pool.name));
            if pools.any(has_any) && !self.aliases.iter().any(is_wanted) {
                let what = format!("an alias of {target} without {family}");
                steered
                    .notes
                    .missing(&what, "pools are answered in both families");
            }
        }
    }

    /// Where a chain of aliases ends; a circle ends where it began.
    fn end_of(&self, first: &Name) -> Name {
        let mut seen = vec![first];
        while let Some(next) = seen
            .last()
            .and_then(|last| self.aliases.iter().find(|alias| alias.owner == **last))
            .map(|alias| &alias.target)
            .filter(|next| !seen.contains(next))
        {
            seen.push(next);
        }
        (*seen.last().unwrap_or(&first)).clone()
    }
}
