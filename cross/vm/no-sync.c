/* Preloaded, takes away what makes a checkpoint durable: the control of the power cuts, which must lose with it. */
int fsync(int fd) { return (void)fd, 0; }
int fdatasync(int fd) { return (void)fd, 0; }
void sync(void) {}
int syncfs(int fd) { return (void)fd, 0; }
