#include <inlay/inlay.h>
#include <stdio.h>
#include <string.h>

int main(void) {
  const uint32_t expected = (INLAY_VERSION_MAJOR << 16) | (INLAY_VERSION_MINOR << 8) | INLAY_VERSION_PATCH;
  if (inlay_version() != expected) {
    fprintf(stderr, "header and library differ in version\n");
    return 1;
  }
  if (strcmp(inlay_status_name(INLAY_ERROR_IO), "INLAY_ERROR_IO") != 0) {
    fprintf(stderr, "a status has the wrong name\n");
    return 1;
  }

  inlay_runtime_params params = INLAY_RUNTIME_PARAMS_INIT;
  params.threads = 1;
  inlay_runtime* runtime = NULL;
  const inlay_status status = inlay_runtime_create(&params, &runtime);
  if (status != INLAY_OK) {
    fprintf(stderr, "no runtime: %s\n", inlay_status_name(status));
    return 1;
  }
  inlay_runtime_destroy(runtime);
  printf("inlay %d.%d.%d\n", INLAY_VERSION_MAJOR, INLAY_VERSION_MINOR, INLAY_VERSION_PATCH);
  return 0;
}
