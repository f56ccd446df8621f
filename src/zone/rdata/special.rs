//! Fields whose form depends on another field or that have a notation of their own: those of AMTRELAY,
//! APL, EUI, HIP and IPSECKEY, and the locators of ILNP.

use crate::base::digits;
use crate::zone::lex::Fault;
use crate::zone::lex::Spot;
use crate::zone::rdata::fields::Fields;
use crate::zone::rdata::fields::bad;
use crate::zone::rdata::fields::base64;
use crate::zone::rdata::fields::decimal;
use crate::zone::rdata::fields::name;
use crate::zone::rdata::fields::number;
use crate::zone::rdata::fields::v4;
use crate::zone::rdata::fields::v6;

/// Address prefixes `[!]AFI:ADDRESS/LENGTH` (RFC 3123 s5); there may be none.
pub(super) fn apl(fields: &mut Fields<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    while fields.has_more() {
        let token = fields.word("prefix")?;
        let expected = "a prefix such as `1:192.0.2.0/24` or `!2:2001:db8::/32`";
        let item = apl_item(token.text()).ok_or_else(|| bad(token, "prefix", expected))?;
        out.extend_from_slice(&item);
    }
    Ok(())
}

fn apl_item(text: &str) -> Option<Vec<u8>> {
    let (negation, rest) = match text.strip_prefix('!') {
        Some(rest) => (0x80, rest),
        None => (0, text),
    };
    let (family, rest) = rest.split_once(':')?;
    let (address, len) = rest.split_once('/')?;
    let (family, octets, max_len) = match family {
        "1" => (
            1,
            address
                .parse::<std::net::Ipv4Addr>()
                .ok()?
                .octets()
                .to_vec(),
            32,
        ),
        "2" => (
            2,
            address
                .parse::<std::net::Ipv6Addr>()
                .ok()?
                .octets()
                .to_vec(),
            128,
        ),
        _ => return None,
    };
    let len = decimal(len).filter(|len| *len <= max_len)?;
    // Trailing zero octets are not stored (RFC 3123 s4).
    let kept = octets
        .iter()
        .rposition(|octet| *octet != 0)
        .map_or(0, |at| at + 1);
    let mut item = vec![0, family, len as u8, negation | kept as u8];
    item.extend_from_slice(octets.get(..kept)?);
    Some(item)
}

/// Octets as pairs of hexadecimal digits with hyphens between (RFC 7043 s3.2 and s4.2).
pub(super) fn eui(fields: &mut Fields<'_>, len: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
    let token = fields.word("address")?;
    let pairs: Vec<_> = token.text().split('-').collect();
    let octets = digits::hex(&pairs.concat());
    match octets {
        Some(octets) if pairs.len() == len && pairs.iter().all(|pair| pair.len() == 2) => {
            out.extend_from_slice(&octets);
            Ok(())
        }
        _ => Err(bad(
            token,
            "address",
            &format!("{len} octets such as `00-00-5e-…`"),
        )),
    }
}

/// `ALGORITHM HIT KEY [SERVER]...` (RFC 8005 s5 and s6).
pub(super) fn hip(fields: &mut Fields<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let algorithm = number(fields, "key algorithm", 0xFF)?;
    let token = fields.word("host identity tag")?;
    let hit = digits::hex(token.text())
        .filter(|hit| (1..=255).contains(&hit.len()))
        .ok_or_else(|| bad(token, "host identity tag", "hexadecimal digits"))?;
    let token = fields.word("public key")?;
    let key = digits::base64(token.text())
        .filter(|key| (1..=0xFFFF).contains(&key.len()))
        .ok_or_else(|| bad(token, "public key", "Base64 with its `=` padding"))?;
    out.extend_from_slice(&[hit.len() as u8, algorithm as u8]);
    out.extend_from_slice(&(key.len() as u16).to_be_bytes());
    out.extend_from_slice(&hit);
    out.extend_from_slice(&key);
    while fields.has_more() {
        out.extend_from_slice(name(fields, "rendezvous server")?.wire());
    }
    Ok(())
}

/// `PRECEDENCE DISCOVERY-OPTIONAL TYPE RELAY` (RFC 8777 s4.3).
pub(super) fn amtrelay(fields: &mut Fields<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let precedence = number(fields, "precedence", 0xFF)?;
    let is_optional = number(fields, "discovery flag", 1)?;
    let spot = fields.spot();
    let relay_type = number(fields, "relay type", 0x7F)?;
    out.extend_from_slice(&[precedence as u8, (is_optional << 7 | relay_type) as u8]);
    host(fields, "relay", relay_type, spot, out)
}

/// A host in one of the forms that IPSECKEY and AMTRELAY number alike: none, an address, or a name.
fn host(
    fields: &mut Fields<'_>,
    what: &str,
    form: u32,
    spot: Spot,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    match form {
        0 => {
            let token = fields.word(what)?;
            if token.octets != b"." {
                let expected = format!("`.`, as {what} type 0 has none");
                return Err(bad(token, what, &expected));
            }
        }
        1 => out.extend_from_slice(&v4(fields, what)?.octets()),
        2 => out.extend_from_slice(&v6(fields, what)?.octets()),
        3 => out.extend_from_slice(name(fields, what)?.wire()),
        _ => {
            let message = format!("bad {what} type `{form}`, expected 0 to 3");
            return Err(Fault::new(spot, message));
        }
    }
    Ok(())
}

/// Eight octets as four groups of up to four hexadecimal digits (RFC 6742 s2.1.2).
pub(super) fn locator(fields: &mut Fields<'_>, what: &str, out: &mut Vec<u8>) -> Result<(), Fault> {
    let token = fields.word(what)?;
    let group = |text: &str| {
        let is_group = text.len() <= 4 && text.bytes().all(|b| b.is_ascii_hexdigit());
        is_group.then(|| u16::from_str_radix(text, 16).ok())?
    };
    let groups: Option<Vec<u16>> = token.text().split(':').map(group).collect();
    let groups = groups
        .filter(|groups| groups.len() == 4)
        .ok_or_else(|| bad(token, what, "four groups such as `2001:0db8:1140:1000`"))?;
    out.extend(groups.into_iter().flat_map(u16::to_be_bytes));
    Ok(())
}

/// `PRECEDENCE GATEWAY-TYPE ALGORITHM GATEWAY [KEY]` (RFC 4025 s3).
pub(super) fn ipseckey(fields: &mut Fields<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let precedence = number(fields, "precedence", 0xFF)?;
    let spot = fields.spot();
    let gateway_type = number(fields, "gateway type", 0xFF)?;
    let algorithm = number(fields, "algorithm", 0xFF)?;
    out.extend_from_slice(&[precedence as u8, gateway_type as u8, algorithm as u8]);
    host(fields, "gateway", gateway_type, spot, out)?;
    if fields.has_more() {
        base64(fields, "public key", out)?;
    }
    Ok(())
}
