//! Aliases: CNAME, and DNAME with the CNAME that it makes (RFC 6672).

use crate::base::name::MAX_NAME_LEN;
use crate::base::qname::QName;
use crate::base::rr::Class;
use crate::base::rr::Rcode;
use crate::base::rr::RrType;
use crate::engine::composer::Composer;
use crate::engine::composer::Next;
use crate::engine::composer::owner;
use crate::wire::encode::Owner;
use crate::zone::Node;

impl<'a> Composer<'a, '_> {
    /// Makes an alias's target the name that is looked for.
    pub(super) fn follow(&mut self, target: &[u8]) -> Next {
        self.followed = true;
        match self.scratch.qname.set_wire(target) {
            Ok(_) => Next::Follow,
            // Zones hold only well-formed names.
            Err(_) => Next::Done(Rcode::ServFail),
        }
    }

    /// The name lies below a DNAME: the DNAME, and the CNAME it makes of this name (RFC 6672 s3.1).
    pub(super) fn dname(&mut self, node: Node<'a>) -> Next {
        let Some(set) = node.rrset(RrType::DNAME) else {
            return Next::Done(Rcode::ServFail);
        };
        self.encoder.set_authoritative();
        // No record stands twice in an answer, even if it renames twice.
        let is_new = self.scratch.dnames.add(node.to_qname().wire());
        if is_new && self.encoder.rrset(Owner::Wire(node.owner()), set).is_err() {
            return self.truncated();
        }
        let mut buffer = [0; MAX_NAME_LEN];
        let target = set.rdatas().next().unwrap_or_default();
        let Some(renamed) = substitute(&self.scratch.qname, node.owner(), target, &mut buffer)
        else {
            return Next::Done(Rcode::YxDomain);
        };
        let owner = owner(self.followed, &self.scratch.qname);
        if self
            .encoder
            .record(owner, RrType::CNAME, Class::IN, set.ttl, renamed)
            .is_err()
        {
            return self.truncated();
        }
        // Who asked for the CNAME has it.
        match self.query.qtype {
            RrType::CNAME | RrType::ANY => Next::Done(Rcode::NoError),
            _ => self.follow(renamed),
        }
    }
}

/// Replaces the suffix `owner` of a name below it by `target`; `None` if that gets too long.
fn substitute<'b>(
    name: &QName,
    owner: &[u8],
    target: &[u8],
    buffer: &'b mut [u8; MAX_NAME_LEN],
) -> Option<&'b [u8]> {
    let kept = name.wire().len().checked_sub(owner.len())?;
    let len = kept.checked_add(target.len())?;
    let renamed = buffer.get_mut(..len)?;
    let (front, back) = renamed.split_at_mut_checked(kept)?;
    front.copy_from_slice(name.wire().get(..kept)?);
    back.copy_from_slice(target);
    Some(renamed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::name::Name;

    #[test]
    fn substitution_keeps_the_labels_in_front_and_the_limit() {
        let name = |text: &str| Name::parse(text).expect("a name");
        let mut buffer = [0; MAX_NAME_LEN];
        let qname = QName::from_name(&name("a.b.old.example."));
        let target = name("new.test.");
        let renamed = substitute(
            &qname,
            name("OLD.example.").wire(),
            target.wire(),
            &mut buffer,
        );
        assert_eq!(renamed, Some(name("a.b.new.test.").wire()));
        let long = name(&"abcdefg.".repeat(31));
        let fits = name("x.");
        assert!(
            substitute(
                &qname,
                name("old.example.").wire(),
                long.wire(),
                &mut buffer
            )
            .is_some()
        );
        let deep = QName::from_name(&name(&format!("{}x.", "abcdefg.".repeat(29))));
        assert_eq!(
            substitute(&deep, fits.wire(), long.wire(), &mut buffer),
            None
        );
    }
}
