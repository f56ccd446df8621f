//! `Encoder`: writes a response into the caller's buffer and never past a limit.
//!
//! A record that does not fit leaves no trace, and neither does an RRset, which is never cut in two
//! (RFC 2181 s9). Names are compressed (RFC 1035 s4.1.4) where they are owners or stand in the RDATA
//! of the RFC 1035 types; RFC 3597 s4 forbids it in all others. A name that was written before
//! in another case takes the earlier spelling, as in NSD and Knot, unless [`Encoder::preserve_case`] was
//! called.
//!
//! Invariant: every pointer points backwards, below 0x4000, to a label that this encoder wrote.

use crate::base::name::Name;
use crate::base::rr::Class;
use crate::base::rr::Rcode;
use crate::base::rr::RrSet;
use crate::base::rr::RrType;
use crate::wire::compress::Case;
use crate::wire::compress::Names;
use crate::wire::compress::POINTER;
use crate::wire::compress::split_label;
use crate::wire::compress::split_name;
use crate::wire::edns::Opt;
use crate::wire::header::Flags;
use crate::wire::header::HEADER_LEN;
use crate::wire::header::Header;
use crate::wire::query::Echo;

/// The pointer to the question's name, with which pre-encoded records name their owner.
pub const QNAME_POINTER: [u8; 2] = [0xC0, HEADER_LEN as u8];

/// What was to be written does not fit; nothing of it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// The owner of a record.
#[derive(Clone, Copy, Debug)]
pub enum Owner<'a> {
    /// The name in the question.
    Qname,
    /// Any name.
    Name(&'a Name),
    /// Any name in uncompressed wire form.
    Wire(&'a [u8]),
}

/// The sections that hold records; the number is the place of their count in the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Section {
    Answer = 1,
    Authority = 2,
    Additional = 3,
}

/// How many entries each section has, as the header counts them, packed into one number: four narrow
/// stores and a wide load after them would be a store-to-load forwarding stall (benches/encode.rs measures
/// it).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts(u64);

impl Counts {
    const A_QUESTION: Self = Self(1 << 48);

    /// A message has not the room for so many records that a count could overflow.
    fn plus(self, section: Section, n: u16) -> Self {
        Self(
            self.0
                .saturating_add(u64::from(n) << (48 - 16 * section as u32)),
        )
    }

    fn of_question(self) -> Self {
        Self(self.0 & 0xFFFF << 48)
    }

    fn each(self) -> [u16; 4] {
        [48, 32, 16, 0].map(|shift| (self.0 >> shift) as u16)
    }
}

/// A response in the making.
#[derive(Debug)]
pub struct Encoder<'b> {
    /// Cut to the limit.
    out: &'b mut [u8],
    len: usize,
    /// Where records must end, so that the OPT has room behind them.
    end: usize,
    /// Where the first record starts.
    records_at: usize,
    id: u16,
    flags: Flags,
    counts: Counts,
    section: Section,
    /// Which names may stand for others.
    case: Case,
    /// Made when the first name is written, which most answers need none of.
    names: Option<Names>,
}

/// What brings an encoder back to an earlier state.
#[derive(Clone, Copy)]
struct Mark {
    len: usize,
    counts: Counts,
    n_names: usize,
}

impl<'b> Encoder<'b> {
    /// Starts a response of at most `limit` octets with the question that it repeats. A question that
    /// does not fit is left out, which 512 octets never need.
    pub fn begin(out: &'b mut [u8], limit: usize, echo: &Echo<'_>) -> Self {
        let limit = limit.min(out.len()).min(usize::from(u16::MAX));
        let out = out.get_mut(..limit).unwrap_or_default();
        let mut encoder = Self {
            end: out.len(),
            out,
            len: HEADER_LEN,
            records_at: HEADER_LEN,
            id: echo.id,
            flags: echo.flags.to_response(),
            counts: Counts::default(),
            section: Section::Answer,
            case: Case::Ignored,
            names: None,
        };
        if !echo.question.is_empty() && encoder.put(echo.question).is_ok() {
            encoder.counts = Counts::A_QUESTION;
            encoder.records_at = encoder.len;
        }
        encoder
    }

    /// Keeps so many octets free for the OPT that [`Self::finish`] writes.
    pub fn reserve(&mut self, len: usize) {
        self.end = self.out.len().saturating_sub(len);
    }

    /// Lets every name keep its case, at the cost of longer messages: a zone transfer's must (RFC 5936 s3.4).
    pub fn preserve_case(&mut self) {
        self.case = Case::Kept;
    }

    /// How many octets have been written.
    #[expect(clippy::len_without_is_empty, reason = "a message is never empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Marks the answer as authoritative (AA).
    pub fn set_authoritative(&mut self) {
        self.flags = self.flags.with_authoritative();
    }

    /// Takes that mark away.
    pub fn clear_authoritative(&mut self) {
        self.flags = self.flags.without_authoritative();
    }

    /// Marks the message as truncated (TC).
    pub fn set_truncated(&mut self) {
        self.flags = self.flags.with_truncated();
    }

    /// What is written next goes into the answer section, where an encoder starts.
    pub fn answer(&mut self) -> &mut Self {
        self.enter(Section::Answer)
    }

    /// What is written next goes into the authority section; the answer section is complete.
    pub fn authority(&mut self) -> &mut Self {
        self.enter(Section::Authority)
    }

    /// What is written next goes into the additional section; the others are complete.
    pub fn additional(&mut self) -> &mut Self {
        self.enter(Section::Additional)
    }

    fn enter(&mut self, section: Section) -> &mut Self {
        debug_assert!(self.section <= section, "sections are written in order");
        self.section = self.section.max(section);
        self
    }

    /// Takes all records back, but neither flags nor reservation; the answer section is next.
    pub fn clear(&mut self) {
        self.counts = self.counts.of_question();
        self.len = self.records_at;
        self.section = Section::Answer;
        self.names = None;
    }

    /// Writes one record; names in `rdata` are uncompressed.
    ///
    /// # Errors
    /// [`Full`] if it does not fit.
    pub fn record(
        &mut self,
        owner: Owner<'_>,
        rtype: RrType,
        class: Class,
        ttl: u32,
        rdata: &[u8],
    ) -> Result<(), Full> {
        let mark = self.mark();
        self.put_record(owner, rtype, class, ttl, rdata)
            .inspect_err(|Full| self.back_to(mark))
    }

    /// Writes all records of an RRset in class IN.
    ///
    /// # Errors
    /// [`Full`] if they do not all fit.
    pub fn rrset(&mut self, owner: Owner<'_>, set: RrSet<'_>) -> Result<(), Full> {
        self.records(owner, set.rtype, set.ttl, set.rdatas())
    }

    /// The same for an RRset that is held in another form.
    ///
    /// # Errors
    /// [`Full`] if they do not all fit.
    pub fn records<'r>(
        &mut self,
        owner: Owner<'_>,
        rtype: RrType,
        ttl: u32,
        mut rdatas: impl Iterator<Item = &'r [u8]>,
    ) -> Result<(), Full> {
        let mark = self.mark();
        rdatas
            .try_for_each(|rdata| self.put_record(owner, rtype, Class::IN, ttl, rdata))
            .inspect_err(|Full| self.back_to(mark))
    }

    /// The same for records whose RDATA is in parts, with all names uncompressed.
    ///
    /// # Errors
    /// [`Full`] if they do not all fit.
    pub fn records_of_parts<'r, P: Iterator<Item = &'r [u8]>>(
        &mut self,
        owner: Owner<'_>,
        rtype: RrType,
        ttl: u32,
        mut records: impl Iterator<Item = P>,
    ) -> Result<(), Full> {
        let mark = self.mark();
        records
            .try_for_each(|mut parts| {
                self.put_front(owner, rtype, Class::IN, ttl, 0)?;
                let rdata_at = self.len;
                parts.try_for_each(|part| self.put(part))?;
                self.finish_record(rdata_at, 0);
                Ok(())
            })
            .inspect_err(|Full| self.back_to(mark))
    }

    /// Copies records that are in wire form already, in two parts; all their names are uncompressed or
    /// are [`QNAME_POINTER`].
    ///
    /// # Errors
    /// [`Full`] if they do not all fit.
    pub fn raw(&mut self, records: [&[u8]; 2], n_records: u16) -> Result<(), Full> {
        let [first, last] = records;
        let end = self.len + first.len() + last.len();
        if end > self.end {
            return Err(Full);
        }
        let room = self.out.get_mut(self.len..end).ok_or(Full)?;
        let (room, room_of_last) = room.split_at_mut_checked(first.len()).ok_or(Full)?;
        room.copy_from_slice(first);
        // Copying nothing is a call all the same, and most answers have one record.
        if !last.is_empty() {
            room_of_last.copy_from_slice(last);
        }
        self.len = end;
        self.count(n_records);
        Ok(())
    }

    /// Writes the OPT, which ends the additional section, and the header, and returns the message's
    /// length. An OPT that does not fit for lack of a reservation loses its extended error, then all
    /// options. Nothing is written to a buffer that is shorter than a header; its length is 0.
    #[inline(always)] // Hot path (per query): inlining saves 8 of 150 ns, see benches/answer.rs.
    pub fn finish(&mut self, rcode: Rcode, opt: Option<&Opt<'_>>) -> usize {
        debug_assert!(
            rcode.high() == 0 || opt.is_some(),
            "{rcode} cannot be told without an OPT"
        );
        if let Some(opt) = opt {
            self.put_opt(rcode, opt);
        }
        let header = Header {
            id: self.id,
            flags: self.flags.with_rcode(rcode),
            counts: self.counts.each(),
        };
        match self.out.first_chunk_mut() {
            Some(front) => {
                *front = header.to_wire();
                self.len
            }
            None => 0,
        }
    }

    #[inline(always)] // Hot path (per query): inlining saves 8 of 150 ns, see benches/answer.rs.
    fn put_opt(&mut self, rcode: Rcode, opt: &Opt<'_>) {
        let room = self.out.get_mut(self.len..).unwrap_or_default();
        let written = opt
            .write(rcode.high(), room)
            .or_else(|| {
                let without_error = Opt {
                    extended_error: None,
                    ..*opt
                };
                without_error.write(rcode.high(), room)
            })
            .or_else(|| {
                let without_options = Opt {
                    dnssec_ok: opt.dnssec_ok,
                    ..Opt::new(opt.udp_payload)
                };
                without_options.write(rcode.high(), room)
            });
        if let Some(len) = written {
            self.len += len;
            self.section = Section::Additional;
            self.count(1);
        }
    }

    fn mark(&self) -> Mark {
        Mark {
            len: self.len,
            counts: self.counts,
            n_names: self.names.as_ref().map_or(0, Names::len),
        }
    }

    fn back_to(&mut self, mark: Mark) {
        self.len = mark.len;
        self.counts = mark.counts;
        match (&mut self.names, mark.n_names) {
            (Some(names), 1..) => names.truncate(mark.n_names),
            // They had not been made yet.
            _ => self.names = None,
        }
    }

    fn count(&mut self, n_records: u16) {
        self.counts = self.counts.plus(self.section, n_records);
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Full> {
        let end = self.len + bytes.len();
        if end > self.end {
            return Err(Full);
        }
        let room = self.out.get_mut(self.len..end).ok_or(Full)?;
        room.copy_from_slice(bytes);
        self.len = end;
        Ok(())
    }

    fn put_record(
        &mut self,
        owner: Owner<'_>,
        rtype: RrType,
        class: Class,
        ttl: u32,
        rdata: &[u8],
    ) -> Result<(), Full> {
        self.put_front(owner, rtype, class, ttl, rdata.len())?;
        let rdata_at = self.len;
        self.put_rdata(rtype, rdata)?;
        self.finish_record(rdata_at, rdata.len());
        Ok(())
    }

    /// Writes what comes before RDATA.
    fn put_front(
        &mut self,
        owner: Owner<'_>,
        rtype: RrType,
        class: Class,
        ttl: u32,
        rdata_len: usize,
    ) -> Result<(), Full> {
        match owner {
            Owner::Qname => self.put_qname()?,
            Owner::Name(name) => self.put_name(name.wire())?,
            Owner::Wire(wire) => self.put_name(wire)?,
        }
        let [t0, t1] = rtype.0.to_be_bytes();
        let [c0, c1] = class.0.to_be_bytes();
        let [ttl0, ttl1, ttl2, ttl3] = ttl.to_be_bytes();
        // The limit is below 2^16, and so is all that fits.
        let [l0, l1] = (rdata_len as u16).to_be_bytes();
        self.put(&[t0, t1, c0, c1, ttl0, ttl1, ttl2, ttl3, l0, l1])
    }

    /// Counts a record whose RDATA starts at `rdata_at`, and corrects its length if that is another than was
    /// written: names were compressed, or it came in parts.
    fn finish_record(&mut self, rdata_at: usize, written_len: usize) {
        let rdata_len = self.len - rdata_at;
        if rdata_len != written_len
            && let Some(field) = self.out.get_mut(rdata_at - 2..rdata_at)
        {
            field.copy_from_slice(&(rdata_len as u16).to_be_bytes());
        }
        self.count(1);
    }

    /// Writes RDATA with the names in it compressed where the type allows. What does not look as its
    /// type wants it is copied as it is.
    fn put_rdata(&mut self, rtype: RrType, rdata: &[u8]) -> Result<(), Full> {
        let (fixed_len, n_names) = match rtype {
            RrType::CNAME | RrType::MB | RrType::MG | RrType::MR | RrType::NS | RrType::PTR => {
                (0, 1)
            }
            RrType::MINFO | RrType::SOA => (0, 2),
            RrType::MX => (2, 1),
            _ => return self.put(rdata),
        };
        let (fixed, mut rest) = rdata.split_at_checked(fixed_len).unwrap_or((rdata, &[]));
        self.put(fixed)?;
        for _ in 0..n_names {
            let Some((name, after)) = split_name(rest) else {
                break;
            };
            self.put_name(name)?;
            rest = after;
        }
        self.put(rest)
    }

    fn put_qname(&mut self) -> Result<(), Full> {
        // A pointer to the root would be longer than the root.
        match self.out.get(HEADER_LEN) {
            Some(1..) if self.records_at > HEADER_LEN => self.put(&QNAME_POINTER),
            _ => self.put(&[0]),
        }
    }

    /// Writes a name as labels up to a suffix that was written before, and a pointer to that.
    fn put_name(&mut self, name: &[u8]) -> Result<(), Full> {
        if self.names.is_none() {
            self.names = Some(Names::of_question(self.out.get(..self.records_at)));
        }
        let mut suffix = name;
        while let Some((label, parent)) = split_label(suffix) {
            let names = self.names.as_mut();
            if let Some(offset) = names
                .as_ref()
                .and_then(|names| names.find(self.out, suffix, self.case))
            {
                return self.put(&(POINTER | offset).to_be_bytes());
            }
            if let Some(names) = names {
                names.add(self.len, suffix.len());
            }
            self.put(label)?;
            suffix = parent;
        }
        self.put(suffix)
    }
}

#[cfg(test)]
mod tests;
