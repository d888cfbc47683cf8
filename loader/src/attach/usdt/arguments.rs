//! Parses the locations of a probe's arguments, which its note has in assembler syntax.
//!
//! ```text
//!     -4@-1204(%rbp) 8@%rax 1@$10        x86
//!     -4@[sp,60] 8@x0 1@10               arm64
//!     -4@-88(s0) 8@a0 1@10               riscv64
//!     -4@160(%r15) 8@%r2 1@10            s390x
//!      ││ └ operand
//!      │└ bytes: 1, 2, 4 or 8
//!      └ signed
//! ```
//!
//! The compiler writes any operand of an `asm` statement, including some that programs cannot read: floating-point
//! registers, segments. Such an argument is [`ArgLocation::Unreadable`]; the other arguments remain readable.

use super::registers;

/// One argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Argument {
    pub(super) location: ArgLocation,
    /// In bytes.
    pub(super) size: u8,
    pub(super) signed: bool,
}

/// The location of the value. A register is given by its offset in `struct pt_regs`, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ArgLocation {
    Constant(i64),
    Register(u16),
    /// In memory: the sum of a register, this distance, and optionally an index register times two to this power.
    Memory {
        base: u16,
        distance: i64,
        index: Option<(u16, u8)>,
    },
    Unreadable,
}

/// The assembler syntax of a machine's operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Machine {
    X86,
    Arm64,
    Riscv64,
    S390x,
    Other,
}

/// Parses all arguments. `from_here` returns the distance from the probe to a variable of the file, by its symbol:
/// position-independent code names a variable by its distance.
pub(super) fn read(machine: Machine, text: &str, from_here: &dyn Fn(&str) -> Option<i64>) -> Vec<Argument> {
    split(text).into_iter().map(|text| argument(machine, text, from_here)).collect()
}

/// Splits the arguments at blanks, but not within brackets.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut open, mut start) = (Vec::new(), 0_u32, 0);
    for (at, letter) in text.char_indices() {
        match letter {
            '(' | '[' => open += 1,
            ')' | ']' => open = open.saturating_sub(1),
            ' ' | '\t' if open == 0 => {
                parts.extend(text.get(start..at));
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.extend(text.get(start..));
    parts.retain(|part| !part.is_empty());
    parts
}

fn argument(machine: Machine, text: &str, from_here: &dyn Fn(&str) -> Option<i64>) -> Argument {
    let unreadable = Argument { location: ArgLocation::Unreadable, size: 8, signed: false };
    // Without a size the argument is a whole word.
    let (size, operand) = text.split_once('@').unwrap_or(("8", text));
    let (size, signed) = match size {
        "1" | "2" | "4" | "8" => (size, false),
        _ => match size.strip_prefix('-') {
            Some(size @ ("1" | "2" | "4" | "8")) => (size, true),
            _ => return unreadable,
        },
    };
    let location = match machine {
        Machine::X86 => x86(operand, from_here),
        Machine::Arm64 => arm64(operand),
        Machine::Riscv64 => riscv64(operand),
        Machine::S390x => s390x(operand),
        Machine::Other => None,
    };
    match (location, size.parse()) {
        (Some(location), Ok(size)) => Argument { location, size, signed },
        _ => unreadable,
    }
}

/// `$CONSTANT`, `%REGISTER`, `[DISTANCE](%BASE[,%INDEX[,SCALE]])`, `[DISTANCE](,%INDEX[,SCALE])`
fn x86(operand: &str, from_here: &dyn Fn(&str) -> Option<i64>) -> Option<ArgLocation> {
    if let Some(constant) = operand.strip_prefix('$') {
        return number(constant).map(ArgLocation::Constant);
    }
    if let Some(register) = operand.strip_prefix('%') {
        return registers::x86(register).map(ArgLocation::Register);
    }
    let (distance, registers) = operand.strip_suffix(')')?.split_once('(')?;
    let mut registers = registers.split(',').map(str::trim);
    let base = registers.next()?;
    let index = match registers.next() {
        Some(index) => {
            let scale: u8 = registers.next().map_or(Some(1), |scale| scale.parse().ok())?;
            Some((general(index)?, [1, 2, 4, 8].iter().position(|&factor| factor == scale)? as u8))
        }
        None => None,
    };
    if registers.next().is_some() {
        return None;
    }
    let (base, index) = match (base, index) {
        // The layout has no form without a base: a register twice is its sum with itself. There is none for 4 and 8.
        ("", Some((index, 0))) => (index, None),
        ("", Some((index, 1))) => (index, Some((index, 0))),
        ("%rip" | "%eip", None) => {
            let distance = with_symbol(distance.trim(), from_here)?;
            return Some(ArgLocation::Memory { base: registers::x86("rip")?, distance, index: None });
        }
        (base, index) => (general(base)?, index),
    };
    let distance = if distance.is_empty() { 0 } else { number(distance.trim())? };
    Some(ArgLocation::Memory { base, distance, index })
}

/// Returns the offset of a register of an address, without those of instructions.
fn general(operand: &str) -> Option<u16> {
    let name = operand.strip_prefix('%').filter(|name| !matches!(*name, "rip" | "eip"))?;
    registers::x86(name)
}

/// `SYMBOL`, `SYMBOL+NUMBER`, `NUMBER+SYMBOL`
fn with_symbol(text: &str, from_here: &dyn Fn(&str) -> Option<i64>) -> Option<i64> {
    let sign = text.rfind(['+', '-']).filter(|&at| at > 0);
    let Some((first, second)) = sign.and_then(|at| text.split_at_checked(at)) else { return from_here(text) };
    let (symbol, distance) = match number(second) {
        Some(distance) => (first, distance),
        None => (second.strip_prefix('+')?, number(first)?),
    };
    from_here(symbol)?.checked_add(distance)
}

/// `CONSTANT`, `REGISTER`, `[REGISTER[, DISTANCE]]`
fn arm64(operand: &str) -> Option<ArgLocation> {
    if let "xzr" | "wzr" = operand {
        return Some(ArgLocation::Constant(0));
    }
    if let Some(inside) = operand.strip_prefix('[') {
        let inside = inside.strip_suffix(']')?;
        let (base, distance) = match inside.split_once(',') {
            Some((base, distance)) => (base.trim(), number(distance.trim())?),
            None => (inside, 0),
        };
        return Some(ArgLocation::Memory { base: registers::arm64(base)?, distance, index: None });
    }
    registers::arm64(operand).map(ArgLocation::Register).or_else(|| number(operand).map(ArgLocation::Constant))
}

/// `CONSTANT`, `REGISTER`, `[DISTANCE](REGISTER)`
fn riscv64(operand: &str) -> Option<ArgLocation> {
    if let "zero" | "x0" = operand {
        return Some(ArgLocation::Constant(0));
    }
    if let Some((distance, base)) = with_base(operand)? {
        return Some(ArgLocation::Memory { base: registers::riscv64(base)?, distance, index: None });
    }
    registers::riscv64(operand).map(ArgLocation::Register).or_else(|| number(operand).map(ArgLocation::Constant))
}

/// Parses `CONSTANT`, `%REGISTER`, `[DISTANCE](%BASE)`, `[DISTANCE](%INDEX,%BASE)`
///
/// As a base or an index, `%r0` is the value 0 and not the register.
fn s390x(operand: &str) -> Option<ArgLocation> {
    let register = |name: &str| registers::s390x(name.strip_prefix('%')?);
    let address = |name: &str| Some(name).filter(|&name| name != "%r0").and_then(register);
    if let Some((distance, inside)) = with_base(operand)? {
        let (base, index) = match inside.split_once(',') {
            None => (address(inside)?, None),
            Some((index, base)) => (address(base.trim())?, Some((address(index.trim())?, 0))),
        };
        return Some(ArgLocation::Memory { base, distance, index });
    }
    register(operand).map(ArgLocation::Register).or_else(|| number(operand).map(ArgLocation::Constant))
}

/// Splits `[DISTANCE](BASE)`. `Some(None)`: the operand has another form; `None`: its distance is not a number.
fn with_base(operand: &str) -> Option<Option<(i64, &str)>> {
    let Some((distance, base)) = operand.strip_suffix(')').and_then(|operand| operand.split_once('(')) else {
        return Some(None);
    };
    let distance = if distance.is_empty() { 0 } else { number(distance.trim())? };
    Some(Some((distance, base.trim())))
}

/// Parses a decimal or hexadecimal number with an optional sign. A number above `i64::MAX` is taken as its bits.
fn number(text: &str) -> Option<i64> {
    let text = text.strip_prefix('#').unwrap_or(text);
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    // The standard parser would accept a second sign.
    if !digits.starts_with(|digit: char| digit.is_ascii_digit()) {
        return None;
    }
    let magnitude = match digits.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok()?,
        None => digits.parse().ok()?,
    };
    match negative {
        true => 0_i64.checked_sub_unsigned(magnitude),
        false => Some(magnitude.cast_signed()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn x86(text: &str) -> Vec<Argument> {
        read(Machine::X86, text, &|symbol| (symbol == "counter").then_some(0x200))
    }

    fn argument(size: u8, signed: bool, location: ArgLocation) -> Argument {
        Argument { location, size, signed }
    }

    const RAX: u16 = 80;
    const RBP: u16 = 32;
    const RIP: u16 = 128;

    #[test]
    fn arguments_are_read_one_by_one() {
        assert_eq!(x86(""), []);
        assert_eq!(
            x86(
                "-4@-1204(%rbp) 8@%rax 1@$10 -8@$-9 2@(%rax) 4@8(%rbp,%rax,4) 8@(%rbp, %rax) -1@-96( %rbp , %rax , 8 )"
            ),
            [
                argument(4, true, ArgLocation::Memory { base: RBP, distance: -1204, index: None }),
                argument(8, false, ArgLocation::Register(RAX)),
                argument(1, false, ArgLocation::Constant(10)),
                argument(8, true, ArgLocation::Constant(-9)),
                argument(2, false, ArgLocation::Memory { base: RAX, distance: 0, index: None }),
                argument(4, false, ArgLocation::Memory { base: RBP, distance: 8, index: Some((RAX, 2)) }),
                argument(8, false, ArgLocation::Memory { base: RBP, distance: 0, index: Some((RAX, 0)) }),
                argument(1, true, ArgLocation::Memory { base: RBP, distance: -96, index: Some((RAX, 3)) }),
            ]
        );
        let arm64 = read(Machine::Arm64, "-4@[sp, 60] 8@x0 1@10 8@[x29] 4@wzr 8@[x1,-0x10]", &|_| None);
        assert_eq!(
            arm64,
            [
                argument(4, true, ArgLocation::Memory { base: 248, distance: 60, index: None }),
                argument(8, false, ArgLocation::Register(0)),
                argument(1, false, ArgLocation::Constant(10)),
                argument(8, false, ArgLocation::Memory { base: 232, distance: 0, index: None }),
                argument(4, false, ArgLocation::Constant(0)),
                argument(8, false, ArgLocation::Memory { base: 8, distance: -16, index: None }),
            ]
        );
    }

    #[test]
    fn riscv64_arguments_are_read() {
        let memory = |base, distance| ArgLocation::Memory { base, distance, index: None };
        assert_eq!(
            read(Machine::Riscv64, "-8@-88(s0) 4@0(a5) -4@5 8@t0 2@(sp) 8@zero 1@-0x10 8@8( a0 )", &|_| None),
            [
                argument(8, true, memory(64, -88)),
                argument(4, false, memory(120, 0)),
                argument(4, true, ArgLocation::Constant(5)),
                argument(8, false, ArgLocation::Register(40)),
                argument(2, false, memory(16, 0)),
                argument(8, false, ArgLocation::Constant(0)),
                argument(1, false, ArgLocation::Constant(-16)),
                argument(8, false, memory(80, 8)),
            ]
        );
        for text in ["8@fa0", "8@%lo(counter)(a5)", "8@8(x0)", "8@8(a0,a1)", "8@8()", "8@)", "8@8(", "8@[a0]", "8@%a0"]
        {
            let arguments = read(Machine::Riscv64, &format!("{text} 8@a0"), &|_| None);
            assert_eq!(arguments[0].location, ArgLocation::Unreadable, "{text}");
        }
    }

    #[test]
    fn s390x_arguments_are_read() {
        let memory = |base, distance, index| ArgLocation::Memory { base, distance, index };
        const R2: u16 = 40;
        const R15: u16 = 144;
        assert_eq!(
            read(Machine::S390x, "-4@160(%r15) 8@%r2 1@71 -2@-5 8@(%r2) 4@8(%r2,%r15) 8@%r0", &|_| None),
            [
                argument(4, true, memory(R15, 160, None)),
                argument(8, false, ArgLocation::Register(R2)),
                argument(1, false, ArgLocation::Constant(71)),
                argument(2, true, ArgLocation::Constant(-5)),
                argument(8, false, memory(R2, 0, None)),
                // The index precedes the base.
                argument(4, false, memory(R15, 8, Some((R2, 0)))),
                argument(8, false, ArgLocation::Register(24)),
            ]
        );
        for text in ["8@%f0", "8@%a1", "8@r2", "8@8(%r0)", "8@8(%r0,%r2)", "8@8(%r2,%r0)", "8@8(,%r2)", "8@%r16"] {
            let arguments = read(Machine::S390x, &format!("{text} 8@%r2"), &|_| None);
            assert_eq!(arguments[0].location, ArgLocation::Unreadable, "{text}");
        }
    }

    /// As the compiler writes an element of a table at a fixed address, or `index * scale + distance`.
    #[test]
    fn address_without_a_base_is_read_if_registers_can_replace_the_scale() {
        let at = |base, distance, index| [argument(4, true, ArgLocation::Memory { base, distance, index })];
        assert_eq!(x86("-4@12(,%rax,1)"), at(RAX, 12, None));
        assert_eq!(x86("-4@(,%rax)"), at(RAX, 0, None));
        assert_eq!(x86("-4@-12(,%rax,2)"), at(RAX, -12, Some((RAX, 0))));
        for text in ["-4@12(,%rax,4)", "-4@(,%rax,8)", "-4@table(,%rax,2)", "-4@12(,)", "-4@12()", "-4@12(,%rax,3)"] {
            assert_eq!(x86(text)[0].location, ArgLocation::Unreadable, "{text}");
        }
    }

    #[test]
    fn variables_are_found_by_their_distance() {
        let at = |distance| [argument(4, false, ArgLocation::Memory { base: RIP, distance, index: None })];
        assert_eq!(x86("4@counter(%rip)"), at(0x200));
        assert_eq!(x86("4@counter+8(%rip)"), at(0x208));
        assert_eq!(x86("4@counter-8(%rip)"), at(0x1f8));
        assert_eq!(x86("4@16+counter(%rip)"), at(0x210));
    }

    #[test]
    fn unreadable_argument_does_not_affect_the_others() {
        for text in [
            "8f@%xmm0",
            "8@%fs:16(%rax)",
            "1@%fs:0",
            "1@%fs:counter@tpoff",
            "8@%gs:(%rax,%rbx,4)",
            "8@8(%rax,%rip,1)",
            "8@counter(%rip,%rax,1)",
            "8@16(%rip)",
            "8@(%rax,%rbx,3)",
            "8@(%rax,%xmm0,4)",
            "8@counter(%rax)",
            "8@counter",
            "4@0x404010",
            "3@%rax",
            "8@%ah",
            "8@$sym",
            "8@unknown(%rip)",
            "8@(%rax,%rbx,4,5)",
            "8@",
            "@",
            "-@%rax",
            "8@$--1",
            "8@$",
            "8@1-2(%rax)",
            "--8@%rax",
            "8@-(%rax)",
        ] {
            let arguments = x86(&format!("{text} 8@%rax"));
            assert_eq!(arguments.len(), 2, "{text}");
            assert_eq!(arguments[0].location, ArgLocation::Unreadable, "{text}");
            assert_eq!(arguments[1].location, ArgLocation::Register(RAX), "{text}");
        }
        assert_eq!(read(Machine::Other, "8@r1", &|_| None)[0].location, ArgLocation::Unreadable);
        assert_eq!(x86("8@$0xffffffffffffffff")[0].location, ArgLocation::Constant(-1));
        assert_eq!(x86("8@$99999999999999999999")[0].location, ArgLocation::Unreadable);
    }
}
