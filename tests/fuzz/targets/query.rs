//! Any bytes to the reader of queries: no panic, and what it reads is what was sent.

#![no_main]

use libfuzzer_sys::fuzz_target;
use meridian::base::qname::QName;
use meridian::wire::query::Malformed;
use meridian::wire::query::Query;
use meridian::wire::query::asks_for_transfer;

fuzz_target!(|message: &[u8]| {
    let mut qname = QName::root();
    let echo = match Query::parse(message, &mut qname) {
        Ok(query) => {
            assert!(query.is_for_cookie() || query.echo.question.len() == qname.wire().len() + 4);
            assert_eq!(
                asks_for_transfer(message),
                matches!(query.qtype.0, 251 | 252) && !query.is_for_cookie()
            );
            query.echo
        }
        Err(Malformed::Reject(reject)) => reject.echo,
        Err(Malformed::Drop(_)) => return,
    };
    assert_eq!(echo.id.to_be_bytes(), message[..2]);
    assert!(message[12..].starts_with(echo.question));
    assert!(!echo.flags.is_response());
});
