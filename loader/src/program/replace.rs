//! Programs that replace a function of another program (`BPF_PROG_TYPE_EXT`, Linux 5.6).
//!
//! The program that is changed is in the kernel already. Its own BTF has its functions, and the number of one of them there is
//! what the replacement is loaded for: the verifier sees to it that both take and give the same. Only global functions can be
//! replaced, since callers of a static one were verified together with it. (`kernel/bpf/verifier.c`, `check_attach_btf_id`.)

use std::{os::fd::AsFd, sync::Arc};

use cutaway_sys::fd;

use crate::{
    Error, ProgramSpec, ProgramType, Target,
    btf::{Btf, Kind},
    object::KnownTarget,
    sys::btf,
};

impl ProgramSpec {
    /// Says which function this program of a section `freplace` is to replace: `function` of `program`, a
    /// [`Program`](crate::Program) or any other program that is loaded; without a name the one that the section names
    /// (`freplace/FUNCTION`).
    ///
    /// # Errors
    ///
    /// [`Error::Unfit`] if this is a program of another kind, or `program` has no such function or no BTF; [`Error::Kernel`] if
    /// the kernel does not show it.
    pub fn replace(&mut self, program: &impl AsFd, function: Option<&str>) -> Result<(), Error> {
        let named = match &self.section.target {
            Some(Target::Btf { name }) => Some(name.as_str()),
            _ => None,
        };
        let name = function.or(named).unwrap_or_default().to_owned();
        let attempt = format!("replace the function `{name}` by the program `{}`", self.name);
        let unfit = |why: String| Error::Unfit { attempt: attempt.clone(), why };
        if self.section.program_type != ProgramType::EXT {
            return Err(unfit(format!("it is a program of the kind {}; EXT is needed", self.section.program_type)));
        }
        if name.is_empty() {
            return Err(unfit(format!("neither its section `{}` nor the call names one", self.section_name)));
        }
        let failed = |error: std::io::Error| Error::kernel(attempt.clone(), &error);
        let bytes = btf::of_program(program.as_fd()).map_err(failed)?;
        let bytes =
            bytes.ok_or_else(|| unfit("the other program was loaded without BTF, which tells functions".into()))?;
        let types = Btf::parse(&bytes).map_err(|error| unfit(error.to_string()))?;
        let found = types.find(Kind::Func, &name).map(|function| function.id());
        let id = found.ok_or_else(|| unfit("the other program has no such function".to_owned()))?;
        let other =
            fd::duplicate(program.as_fd(), "keeps the program that is replaced in part until the other one is loaded")
                .map_err(failed)?;
        self.known = Some(KnownTarget { id, of: Some(Arc::new(other)) });
        self.section.target = Some(Target::Btf { name });
        Ok(())
    }
}
