//! Floor 1: DNS bytes in and out; the place where hostile input lives.
//!
//! [`query::Query::parse`] reads any bytes and either gives a query that has exactly one well-formed
//! question, or says what the sender gets instead. [`encode::Encoder`] writes a response into the
//! caller's buffer. Neither allocates, neither panics on any input; lints hold the second.
//!
//! ```
//! use meridian::base::qname::QName;
//! use meridian::base::rr::Rcode;
//! use meridian::base::rr::RrSet;
//! use meridian::base::rr::RrType;
//! use meridian::wire::edns::Opt;
//! use meridian::wire::encode::Encoder;
//! use meridian::wire::encode::Owner;
//! use meridian::wire::query::Malformed;
//! use meridian::wire::query::Query;
//!
//! fn answer(message: &[u8], qname: &mut QName, set: RrSet<'_>, out: &mut [u8]) -> Option<usize> {
//!     let query = match Query::parse(message, qname) {
//!         Ok(query) => query,
//!         Err(Malformed::Drop(_)) => return None,
//!         Err(Malformed::Reject(reject)) => {
//!             let opt = reject.has_opt.then(|| Opt::new(1232));
//!             return Some(Encoder::begin(out, 512, &reject.echo).finish(reject.rcode, opt.as_ref()));
//!         }
//!     };
//!     let opt = query.edns.as_ref().map(|edns| Opt {
//!         dnssec_ok: edns.dnssec_ok,
//!         subnet: edns.subnet.as_ref(),
//!         ..Opt::new(1232)
//!     });
//!     let limit = usize::from(query.edns.as_ref().map_or(512, |edns| edns.udp_payload));
//!     let mut enc = Encoder::begin(out, limit.min(1232), &query.echo);
//!     enc.reserve(opt.as_ref().map_or(0, Opt::len));
//!     enc.set_authoritative();
//!     if enc.answer().rrset(Owner::Qname, set).is_err() {
//!         enc.clear();
//!         enc.set_truncated();
//!     }
//!     Some(enc.finish(Rcode::NoError, opt.as_ref()))
//! }
//!
//! let message = b"\x12\x34\x01\x00\0\x01\0\0\0\0\0\0\x03Www\x07example\0\0\x01\0\x01";
//! let set = RrSet::new(RrType::A, 30, &[0, 4, 192, 0, 2, 1]);
//! let (mut qname, mut out) = (QName::root(), [0; 1232]);
//! assert_eq!(answer(message, &mut qname, set, &mut out), Some(message.len() + 16));
//! ```

#![deny(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod compress;
pub mod cookie;
pub mod ecs;
pub mod edns;
pub mod encode;
pub mod fault;
pub mod header;
pub mod peek;
pub mod query;
mod record;
pub mod svcb;
pub mod tsig;
pub mod update;
