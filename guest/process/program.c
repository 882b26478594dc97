/* Loading a program with what belongs to it. */
#include <calypso/lib.h>
#include <file/path.h>
#include <process/process.h>
#include <process/program.h>

static int open_interpreter(struct program *program, const char *path, const char **problem)
{
	struct file *file;
	int error = path_find(&process.files, NULL, path, PATH_FOLLOW, &file);
	if (error != 0) {
		*problem = "its interpreter is not in the root directory";
		return error;
	}
	error = elf_open(&program->interpreter, file, problem);
	if (error != 0) {
		*problem = "its interpreter is not a program for this machine";
		return -ELIBBAD;
	}
	return 0;
}

int program_check(struct file *file, struct program *program, const char **problem)
{
	char *path;
	*program = (struct program){.entry = 0};
	int error = elf_open(&program->elf, file, problem);
	if (error == 0)
		error = elf_interpreter(&program->elf, &path, problem);
	if (error != 0 || path == NULL)
		return error;
	error = open_interpreter(program, path, problem);
	kfree(path);
	return error;
}

void program_close(struct program *program)
{
	elf_close(&program->elf);
	elf_close(&program->interpreter);
	file_put(program->interpreter.file);
	program->interpreter.file = NULL;
}

int program_load(struct program *program, const struct arguments *arguments, const char **problem)
{
	struct elf *elf = &program->elf, *interpreter = &program->interpreter;
	*problem = "there is no memory for its stack";
	int error = stack_map();
	if (error == 0)
		error = elf_map(elf, ELF_PROGRAM, problem);
	if (error == 0)
		space_set_break(elf->base + elf->end);
	if (error == 0 && interpreter->file != NULL)
		error = elf_map(interpreter, ELF_INTERPRETER, problem);
	if (error != 0)
		return error;
	program->entry = elf_entry(interpreter->file != NULL ? interpreter : elf);

	int64_t sp = stack_make(elf, interpreter->base, arguments);
	if (sp < 0) {
		*problem = "its arguments and environment are too large for the memory";
		return (int)sp;
	}
	program->sp = (user_t)sp;
	return 0;
}
