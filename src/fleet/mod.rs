//! Floor 7: what the machines of a fleet tell each other, and what each makes of it.
//!
//! A machine sends what its vantages see and its operators' overrides, and takes those of the others. Only
//! the adapter to the message bus does I/O; [`link`] is the boundary between it and the control loop. The rest
//! is pure: [`record`] is the messages, [`roster`] whose are accepted and what is known of each machine,
//! [`member`] what this machine sends and when.

pub mod link;
pub mod member;
pub mod nats;
pub mod record;
pub mod roster;
