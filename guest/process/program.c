/* Loading a program with what belongs to it. */
#include <calypso/lib.h>
#include <file/path.h>
#include <process/process.h>
#include <process/program.h>

static int find_interpreter(const char *path, struct file **interpreter, const char **problem)
{
	char *next = NULL;
	int error = path_find(&process.files, NULL, path, PATH_FOLLOW, interpreter);
	if (error != 0) {
		*problem = "its interpreter is not in the initrd";
		return error;
	}
	if (elf_check(*interpreter, &next, problem) == 0) {
		kfree(next);
		return 0;
	}
	file_put(*interpreter);
	*problem = "its interpreter is not a program for this machine";
	return -ELIBBAD;
}

int program_check(struct file *file, struct program *program, const char **problem)
{
	char *path;
	*program = (struct program){.file = file};
	int error = elf_check(file, &path, problem);
	if (error != 0 || path == NULL)
		return error;
	error = find_interpreter(path, &program->interpreter, problem);
	if (error != 0)
		program->interpreter = NULL;
	kfree(path);
	return error;
}

void program_forget(struct program *program)
{
	file_put(program->interpreter);
	program->interpreter = NULL;
}

int program_load(struct program *program, const struct arguments *arguments, const char **problem)
{
	struct elf_image image, interpreter = {0};
	*problem = "there is no memory for its stack";
	int error = stack_map();
	if (error == 0)
		error = elf_load(program->file, ELF_PROGRAM, &image, problem);
	if (error == 0) {
		space_set_break(image.end);
		program->entry = image.entry;
	}
	if (error == 0 && program->interpreter != NULL) {
		error = elf_load(program->interpreter, ELF_INTERPRETER, &interpreter, problem);
		program->entry = interpreter.entry;
	}
	program_forget(program);
	if (error != 0)
		return error;

	int64_t sp = stack_make(&image, interpreter.base, arguments);
	if (sp < 0) {
		*problem = "its arguments and environment are too large for the memory";
		return (int)sp;
	}
	program->sp = (user_t)sp;
	return 0;
}
