//! Any octets as a message of another machine: no panic, and what is read is written and read again alike.

#![no_main]

use libfuzzer_sys::fuzz_target;
use meridian::fleet::link::Kind;
use meridian::fleet::record;
use meridian::fleet::record::Body;
use meridian::fleet::record::Writer;

fuzz_target!(|bytes: &[u8]| {
    for kind in Kind::ALL {
        let Ok(message) = record::read(kind, bytes) else {
            continue;
        };
        if let Body::Registers(registers) = message.body {
            let mut writer = Writer::new(&message.node, message.boot);
            let written = writer.registers(registers.iter(), message.sent_ms);
            let mut again = Vec::new();
            for part in written {
                match record::read(kind, &part).map(|message| message.body) {
                    Ok(Body::Registers(part)) => again.extend(part),
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(again, registers);
        }
    }
});
