//! Defines the structures: checks their layout and implements their logging.

use log::kv;

/// One command's part of `union bpf_attr`.
pub(in crate::sys) trait Attr: kv::Source {}

macro_rules! attr {
    ($($(#[$doc:meta])* struct $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default)]
        #[repr(C)]
        pub(crate) struct $name { $($(#[$field_doc])* pub(crate) $field: $type,)* }

        // The sum of the fields' sizes is the size of the structure: there is no padding.
        const _: () = assert!(size_of::<$name>() == 0 $(+ size_of::<$type>())*);

        impl Attr for $name {}

        impl kv::Source for $name {
            fn visit<'kvs>(&'kvs self, visitor: &mut dyn kv::VisitSource<'kvs>) -> Result<(), kv::Error> {
                log_fields(&[$((stringify!($field), &self.$field),)*], visitor)
            }
        }
    )*};
}

pub(super) use attr;
