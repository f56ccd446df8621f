//! `Fault`: what is wrong with a message, in the words that its sender gets (RFC 8914).

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An opcode that is not served.
    Opcode,
    /// A COOKIE option that is not 8 or 16 to 40 octets long.
    OptCookie,
    /// More than one OPT.
    OptCount,
    /// An option that is longer than what is left of its OPT.
    OptOption,
    /// An OPT whose owner is not the root.
    OptOwner,
    /// An OPT in the answer or authority section.
    OptSection,
    /// A malformed client subnet.
    OptSubnet,
    /// A question that is cut off, or whose name is compressed or too long.
    Question,
    /// No question, or more than one.
    QuestionCount,
    /// A record that is cut off or has a bad owner.
    Record,
    /// A response.
    Response,
    /// Records in the answer or authority section.
    SectionCount,
    /// Less than a header.
    Short,
    /// Bytes after the last record.
    Trailing,
    /// A malformed TSIG.
    Tsig,
    /// A TSIG that is not the last record.
    TsigPlace,
}

impl Fault {
    /// The fault in words, for the extended error of the response.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opcode => "opcode is not supported",
            Self::OptCookie => "COOKIE option has an invalid length",
            Self::OptCount => "more than one OPT record",
            Self::OptOption => "EDNS option is longer than the OPT record",
            Self::OptOwner => "OPT owner name is not root",
            Self::OptSection => "OPT record outside the additional section",
            Self::OptSubnet => "malformed client subnet option",
            Self::Question => "malformed question",
            Self::QuestionCount => "question count is not one",
            Self::Record => "malformed resource record",
            Self::Response => "message is a response",
            Self::SectionCount => "records in the answer or authority section",
            Self::Short => "message is shorter than a DNS header",
            Self::Trailing => "trailing bytes after the last record",
            Self::Tsig => "malformed TSIG record",
            Self::TsigPlace => "TSIG record is not the last record",
        }
    }
}
