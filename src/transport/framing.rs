//! DNS messages in a stream: two octets of length before each (RFC 1035 s4.2.2).

/// What a connection's input begins with.
pub(super) enum Frame<'a> {
    /// Less than a message.
    Incomplete,
    /// A message, and what comes after it.
    Message(&'a [u8], &'a [u8]),
    /// The length of a message with less than a header.
    Short,
}

/// Splits off the message that the input begins with.
pub(super) fn next_frame(input: &[u8]) -> Frame<'_> {
    let Some((len, rest)) = input.split_first_chunk() else {
        return Frame::Incomplete;
    };
    let len = usize::from(u16::from_be_bytes(*len));
    if len < HEADER_LEN {
        return Frame::Short;
    }
    match rest.split_at_checked(len) {
        Some((message, after)) => Frame::Message(message, after),
        None => Frame::Incomplete,
    }
}

/// Appends a message behind its length; nothing for silence.
pub(super) fn append(output: &mut Vec<u8>, message: &[u8]) {
    if let Ok(len @ 1..) = u16::try_from(message.len()) {
        output.extend_from_slice(&len.to_be_bytes());
        output.extend_from_slice(message);
    }
}

/// Octets of a DNS header (RFC 1035 s4.1.1).
const HEADER_LEN: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::tests::framed;

    #[test]
    fn frames_are_cut_at_their_length() {
        let message = [7; 12];
        let input = [&framed(&message)[..], &[0, 50, 1]].concat();
        let Frame::Message(first, after) = next_frame(&input) else {
            panic!("a whole message is there");
        };
        assert_eq!((first, after), (&message[..], &[0, 50, 1][..]));
        for part in 0..14 {
            let part = input.get(..part).unwrap();
            assert!(matches!(next_frame(part), Frame::Incomplete));
        }
        assert!(matches!(next_frame(&[0, 11]), Frame::Short));
    }
}
