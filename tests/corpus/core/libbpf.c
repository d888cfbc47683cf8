/* What libbpf makes of an object's CO-RE relocations, one line each, for comparison with ours:
 *
 *     FUNCTION INSTRUCTION imm|off|imm64 BEFORE AFTER
 *     FUNCTION INSTRUCTION size BEFORE AFTER
 *     FUNCTION INSTRUCTION poison
 *     refused
 *
 * cc libbpf.c -o libbpf -lbpf -lelf -lz     (libbpf 1.6 or newer)
 * ./libbpf OBJECT [TARGET]                  TARGET is an object or a file of BTF; without it, the running kernel
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <bpf/libbpf.h>

static int listen(enum libbpf_print_level level, const char *format, va_list arguments)
{
	char text[4096], name[128], what[32];
	const char *line = text;
	unsigned long long before, after;
	int instruction;

	(void)level;
	vsnprintf(text, sizeof(text), format, arguments);
	if (strncmp(line, "libbpf: ", 8) == 0)
		line += 8;
	if (sscanf(line, "prog '%127[^']': relo #%*d: patched insn #%d (%31[^)]) %*s %llu -> %llu", name, &instruction, what, &before, &after) == 5) {
		const char *field = strstr(line, ") mem_sz ") ? "size" : strcmp(what, "LDIMM64") == 0 ? "imm64" : strcmp(what, "ALU/ALU64") == 0 ? "imm" : "off";
		printf("%s %d %s %llu %llu\n", name, instruction, field, before, after);
	} else if (sscanf(line, "prog '%127[^']': relo #%*d: substituting insn #%d", name, &instruction) == 2) {
		printf("%s %d poison\n", name, instruction);
	} else if (strstr(line, "failed to relocate:") || strstr(line, "failed to patch insn")) {
		printf("refused\n");
	}
	return 0;
}

int main(int count, char **arguments)
{
	LIBBPF_OPTS(bpf_object_open_opts, options, .btf_custom_path = count > 2 ? arguments[2] : NULL);
	struct bpf_object *object;

	if (count < 2)
		return 2;
	libbpf_set_print(listen);
	object = bpf_object__open_file(arguments[1], &options);
	if (!object)
		return 1;
	bpf_object__prepare(object);
	bpf_object__close(object);
	return 0;
}
