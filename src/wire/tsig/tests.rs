//! TSIG against the `domain` crate's on the other side, and octet by octet.

use std::str::FromStr;

use domain::base::Message;
use domain::base::MessageBuilder;
use domain::base::iana::Rcode;
use domain::base::iana::Rtype;
use domain::rdata::tsig::Time48;
use domain::tsig::ClientSequence;
use domain::tsig::ClientTransaction;
use domain::tsig::KeyName;
use domain::tsig::ServerTransaction;
use domain::tsig::ValidationError;

use super::*;
use crate::base::qname::QName;
use crate::wire::encode::Encoder;
use crate::wire::query::Query;

const NOW: u64 = 1_700_000_000;
const BAD_TIME: TsigError = TsigError::BadTime {
    theirs: NOW,
    fudge: 300,
};
const SECRET: &[u8] = b"a secret of thirty-two octets...";

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn keyring(algorithm: Algorithm) -> Keyring {
    let other = Key::new(name("other.key"), algorithm, b"another secret");
    Keyring::new(vec![
        other,
        Key::new(name("Transfer.KEY"), algorithm, SECRET),
    ])
}

fn theirs(algorithm: Algorithm, secret: &[u8], name: &str) -> Arc<domain::tsig::Key> {
    let algorithm = domain::tsig::Algorithm::from_str(algorithm.as_str()).unwrap();
    let name = KeyName::from_str(name).unwrap();
    Arc::new(domain::tsig::Key::new(algorithm, secret, name, None, None).unwrap())
}

fn at(now: u64) -> Time48 {
    Time48::from_u64(now)
}

/// A query that the other side has signed.
fn signed(
    key: Arc<domain::tsig::Key>,
    now: u64,
) -> (ClientTransaction<Arc<domain::tsig::Key>>, Vec<u8>) {
    let mut message = question();
    let transaction = ClientTransaction::request(key, &mut message, at(now)).unwrap();
    (transaction, message.finish())
}

fn question() -> domain::base::message_builder::AdditionalBuilder<Vec<u8>> {
    let mut question = MessageBuilder::new_vec().question();
    question.header_mut().set_id(0x1234);
    let apex = domain::base::Name::<Vec<u8>>::from_str("example.com").unwrap();
    question.push((apex, Rtype::SOA)).unwrap();
    question.additional()
}

fn parse(message: &[u8]) -> Query<'_> {
    Query::parse(message, &mut QName::root()).unwrap()
}

/// The header and question of a response.
fn response(query: &[u8], out: &mut [u8], rcode: crate::base::rr::Rcode) -> usize {
    Encoder::begin(out, 512, &parse(query).echo).finish(rcode, None)
}

#[test]
fn requests_and_responses_pass_between_us_and_another_implementation() {
    for algorithm in Algorithm::ALL {
        let key = theirs(algorithm, SECRET, "transfer.key");
        let (client, query) = signed(key, NOW);
        let keyring = keyring(algorithm);
        let mut signer = keyring
            .verify(&Tsig::of(&query).unwrap(), NOW + 100)
            .unwrap();
        let mut out = [0; 512];
        let len = response(&query, &mut out, crate::base::rr::Rcode::NoError);
        let end = signer.sign(&mut out, len, NOW + 100).unwrap();
        assert_eq!(end - len, signer.key().record_len());
        let mut answer = Message::from_octets(out[..end].to_vec()).unwrap();
        client.answer(&mut answer, at(NOW + 101)).unwrap();
        for room in len..end {
            let mut signer = signer.clone();
            assert_eq!(signer.sign(&mut out[..room], len, NOW), None);
        }
    }
}

#[test]
fn every_message_of_a_transfer_is_signed_with_the_one_before() {
    let key = theirs(Algorithm::Sha256, SECRET, "transfer.key");
    let mut message = question();
    let mut client = ClientSequence::request(key, &mut message, at(NOW)).unwrap();
    let query = message.finish();
    let keyring = keyring(Algorithm::Sha256);
    let mut signer = keyring.verify(&Tsig::of(&query).unwrap(), NOW).unwrap();
    for n in 0..5 {
        let mut out = [0; 512];
        let len = response(&query, &mut out, crate::base::rr::Rcode::NoError);
        let end = signer.sign(&mut out, len, NOW + n).unwrap();
        let mut answer = Message::from_octets(out[..end].to_vec()).unwrap();
        client.answer(&mut answer, at(NOW + n)).unwrap();
    }
    client.done().unwrap();
}

#[test]
fn our_own_requests_are_understood_and_only_their_responses_are() {
    let ours = Keyring::new(vec![Key::new(
        name("transfer.key"),
        Algorithm::Sha512,
        SECRET,
    )]);
    let mut signer = Signer::of_request(ours.key(&name("TRANSFER.key")).unwrap());
    let mut out = question().finish();
    let len = out.len();
    out.resize(512, 0);
    let end = signer.sign(&mut out, len, NOW).unwrap();
    let store = theirs(Algorithm::Sha512, SECRET, "transfer.key");
    let mut request = Message::from_octets(out[..end].to_vec()).unwrap();
    let server = ServerTransaction::request(&store, &mut request, at(NOW))
        .unwrap()
        .unwrap();
    let mut answer = MessageBuilder::new_vec()
        .start_answer(&request, Rcode::NOERROR)
        .unwrap()
        .additional();
    server.answer(&mut answer, at(NOW)).unwrap();
    let answer = answer.finish();
    assert!(signer.is_answered_by(&answer, NOW));
    assert!(!signer.is_answered_by(&answer, NOW + 301));
    assert!(
        !signer.is_answered_by(&out[..end], NOW),
        "the request itself"
    );
    assert!(
        !signer.is_answered_by(&answer[..len], NOW),
        "without a TSIG"
    );
    for at in 0..answer.len() {
        let mut forged = answer.clone();
        forged[at] ^= 1;
        // The names' case and the id on the wire are not signed.
        let is_harmless = forged[at].eq_ignore_ascii_case(&answer[at]) || at < 2;
        assert!(
            is_harmless || !signer.is_answered_by(&forged, NOW),
            "octet {at}"
        );
        assert!(!signer.is_answered_by(&answer[..at], NOW));
    }
}

#[test]
fn no_octet_of_a_request_can_be_changed() {
    let (_, query) = signed(theirs(Algorithm::Sha256, SECRET, "transfer.key"), NOW);
    let keyring = keyring(Algorithm::Sha256);
    for at in 2..query.len() {
        for bit in 0..8 {
            let mut forged = query.clone();
            forged[at] ^= 1 << bit;
            let Ok(parsed) = Query::parse(&forged, &mut QName::root()) else {
                continue;
            };
            let tsig = parsed.has_tsig.then(|| Tsig::of(&forged).unwrap());
            let verified = tsig.map(|tsig| keyring.verify(&tsig, NOW));
            let is_case = forged[at].eq_ignore_ascii_case(&query[at]) && at > 29;
            assert!(
                is_case || !matches!(verified, Some(Ok(_))),
                "octet {at} bit {bit}"
            );
        }
    }
}

#[test]
fn what_is_wrong_is_told_as_the_rfc_asks() {
    let keyring = keyring(Algorithm::Sha256);
    let good = theirs(Algorithm::Sha256, SECRET, "transfer.key");
    for (key, made, now, error) in [
        (
            theirs(Algorithm::Sha256, SECRET, "no.key"),
            NOW,
            NOW,
            Some(TsigError::BadKey),
        ),
        (
            theirs(Algorithm::Sha512, SECRET, "transfer.key"),
            NOW,
            NOW,
            Some(TsigError::BadKey),
        ),
        (
            theirs(Algorithm::Sha256, b"wrong", "transfer.key"),
            NOW,
            NOW,
            Some(TsigError::BadSig),
        ),
        (Arc::clone(&good), NOW, NOW + 300, None),
        (Arc::clone(&good), NOW, NOW - 300, None),
        (Arc::clone(&good), NOW, NOW + 301, Some(BAD_TIME)),
        (good, NOW, NOW - 301, Some(BAD_TIME)),
    ] {
        let (client, query) = signed(key, made);
        let tsig = Tsig::of(&query).unwrap();
        let verified = keyring.verify(&tsig, now);
        assert_eq!(verified.as_ref().err().map(|refused| refused.error), error);
        let Err(Refused { error, signer }) = verified else {
            continue;
        };
        let mut out = [0; 512];
        let len = response(&query, &mut out, crate::base::rr::Rcode::NotAuth);
        let end = match signer {
            Some(mut signer) => signer.refuse(error, &mut out, len, now),
            None => tsig.refuse(error, &mut out, len),
        };
        let mut answer = Message::from_octets(out[..end.unwrap()].to_vec()).unwrap();
        let told = client.answer(&mut answer, at(now)).unwrap_err();
        let expected = match error {
            TsigError::BadKey => ValidationError::ServerBadKey,
            TsigError::BadSig => ValidationError::ServerBadSig,
            // The other implementation signs eight octets of other data instead of six; see below.
            _ => ValidationError::BadSig,
        };
        assert_eq!(told.to_string(), expected.to_string());
    }
}

#[test]
fn a_client_whose_clock_is_wrong_is_told_ours_and_can_believe_it() {
    let keyring = keyring(Algorithm::Sha256);
    let (_, query) = signed(theirs(Algorithm::Sha256, SECRET, "transfer.key"), NOW);
    let request = Tsig::of(&query).unwrap();
    let refused = keyring.verify(&request, NOW + 1000).unwrap_err();
    let mut out = [0; 512];
    let len = response(&query, &mut out, crate::base::rr::Rcode::NotAuth);
    let mut signer = refused.signer.unwrap();
    let end = signer
        .refuse(refused.error, &mut out, len, NOW + 1000)
        .unwrap();
    let told = Tsig::of(&out[..end]).unwrap();
    assert_eq!((told.time, told.fudge, told.error), (NOW, 300, 18));
    assert_eq!(told.other, &(NOW + 1000).to_be_bytes()[2..]);
    // RFC 8945 s4.3, s5.3.2, put together by hand.
    let mut signed = vec![0, 32];
    signed.extend_from_slice(request.mac);
    signed.extend_from_slice(&out[..len]);
    // Without the TSIG, which has been counted since.
    let count_at = signed.len() - len + 11;
    signed[count_at] -= 1;
    signed.extend_from_slice(b"\x08transfer\x03key\0\0\xff\0\0\0\0\x0bhmac-sha256\0");
    signed.extend_from_slice(&NOW.to_be_bytes()[2..]);
    signed.extend_from_slice(&[1, 44, 0, 18, 0, 6]);
    signed.extend_from_slice(&(NOW + 1000).to_be_bytes()[2..]);
    let secret = hmac::Key::new(hmac::HMAC_SHA256, SECRET);
    assert!(hmac::verify(&secret, &signed, told.mac).is_ok());
}

#[test]
fn shortened_signatures_are_refused_once_they_are_known_to_be_right() {
    let short = |len, secret: &[u8]| {
        let algorithm = domain::tsig::Algorithm::Sha256;
        let name = KeyName::from_str("transfer.key").unwrap();
        let key = domain::tsig::Key::new(algorithm, secret, name, Some(16), Some(len)).unwrap();
        signed(Arc::new(key), NOW).1
    };
    let keyring = keyring(Algorithm::Sha256);
    let error = |query: &[u8]| {
        let tsig = Tsig::of(query).unwrap();
        let refused = keyring.verify(&tsig, NOW).unwrap_err();
        (refused.error, refused.signer.is_some())
    };
    assert_eq!(error(&short(16, SECRET)), (TsigError::BadTrunc, true));
    assert_eq!(error(&short(31, SECRET)), (TsigError::BadTrunc, true));
    assert_eq!(error(&short(31, b"wrong")), (TsigError::BadSig, false));
    let mut query = short(16, SECRET);
    let size_at = query.len() - 16 - 8;
    assert_eq!(query[size_at..][..2], [0, 16]);
    query[size_at + 1] = 15;
    query.remove(size_at + 2);
    let rdata_len_at = size_at - 8 - 13 - 1;
    query[rdata_len_at] -= 1;
    assert_eq!(error(&query), (TsigError::Length, false));
}

#[test]
fn malformed_tsigs_are_refused_by_the_reader() {
    let question = b"\x12\x34\0\0\0\x01\0\0\0\0\0\x01\x01a\0\0\x01\0\x01";
    let rdata = b"\x0bhmac-sha256\0\0\0\0\0\0\0\x01\x2c\0\x02\xaa\xbb\x12\x34\0\0\0\0";
    let message = |class: u8, ttl: u8, rdata: &[u8]| {
        let [len0, len1] = (rdata.len() as u16).to_be_bytes();
        let fixed = [0xC0, 12, 0, 250, 0, class, 0, 0, 0, ttl, len0, len1];
        [&question[..], &fixed, rdata].concat()
    };
    let is_read = |message: &[u8]| Query::parse(message, &mut QName::root()).is_ok();
    assert!(is_read(&message(255, 0, rdata)));
    assert!(!is_read(&message(1, 0, rdata)), "class IN");
    assert!(!is_read(&message(255, 1, rdata)), "a TTL");
    for len in 0..rdata.len() {
        assert!(!is_read(&message(255, 0, &rdata[..len])), "{len} octets");
    }
    assert!(!is_read(&message(255, 0, &[&rdata[..], b"x"].concat())));
    let named = |n_labels| [&b"\x01a".repeat(n_labels), &rdata[12..]].concat();
    assert!(is_read(&message(255, 0, &named(127))), "255 octets");
    assert!(!is_read(&message(255, 0, &named(128))), "257 octets");
}

#[test]
fn an_unknown_keys_name_is_repeated_even_if_it_was_compressed() {
    let rdata = b"\x0bhmac-sha256\0\0\0\0\0\0\0\x01\x2c\0\x02\xaa\xbb\x12\x34\0\0\0\0";
    let query = [
        &b"\x12\x34\0\0\0\x01\0\0\0\0\0\x01\x03Key\0\0\x01\0\x01\x01a\xc0\x0c\0\xfa\0\xff\0\0\0\0\0"[..],
        &[rdata.len() as u8],
        rdata,
    ]
    .concat();
    let tsig = Tsig::of(&query).unwrap();
    let refused = Keyring::default().verify(&tsig, NOW).unwrap_err();
    assert_eq!(refused.error, TsigError::BadKey);
    let mut out = [0; 512];
    let len = response(&query, &mut out, crate::base::rr::Rcode::NotAuth);
    let end = tsig.refuse(refused.error, &mut out, len).unwrap();
    assert_eq!(out[11], 1, "ARCOUNT");
    let record = b"\x01a\x03Key\0\0\xfa\0\xff\0\0\0\0\0\x1d\x0bhmac-sha256\0\0\0\0\0\0\0\x01\x2c\0\0\x12\x34\0\x11\0\0";
    assert_eq!(out[len..end], record[..]);
}
