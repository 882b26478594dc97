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

/* The path of what a walk has found, or NULL. */
static char *resolve(const struct path_walk *walk)
{
	char *buffer = kmalloc(PATH_MAX);
	int64_t length = buffer == NULL ? -ENOMEM : path_of_found(walk, buffer, PATH_MAX);
	char *path = length < 0 ? NULL : kmalloc((size_t)length);
	if (path != NULL)
		memcpy(path, buffer, (size_t)length);
	kfree(buffer);
	return path;
}

int program_find(const char *path, struct file **file, char **resolved)
{
	struct path_walk walk;
	int error = path_begin(&walk, file_context(), NULL, path);
	if (error != 0)
		return error;
	error = path_last(&walk, PATH_FOLLOW, file);
	*resolved = error == 0 ? resolve(&walk) : NULL;
	path_end(&walk);
	return error;
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
