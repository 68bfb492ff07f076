//! Any JSON as a proof. Refused in words, or accepted; an accepted proof says the same when it is written and read again.
#![no_main]

use chatvault::archive::{Proof, Refusal};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut document) = serde_json::from_slice::<serde_json::Value>(bytes) else { return };
    // Without the right seal hardly any input would get further: it is only a sum over the rest.
    let sealed = serde_json::from_value::<Proof>(document.clone()).map(|proof| proof.to_json());
    if let (Ok(sealed), Some(fields)) = (&sealed, document.as_object_mut()) {
        fields.insert("seal".into(), sealed["seal"].clone());
    }
    match Proof::from_json(document).and_then(|proof| proof.check().map(|()| proof)) {
        Ok(proof) => {
            let again = Proof::from_json(proof.to_json()).expect("what was accepted is accepted again");
            assert!(again.check().is_ok());
            assert!(again.passes(&proof.head.hash));
        }
        Err(Refusal(reason)) => assert!(!reason.is_empty()),
    }
});
