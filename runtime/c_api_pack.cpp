#include "formats/package.h"
#include "runtime/c_api.h"
#include "runtime/pack.h"

// The C ABI's making and checking of packages.

using namespace inlay;
using namespace inlay::abi;

inlay_status inlay_pack(inlay_runtime* runtime, const char* input, const char* output,
                        const inlay_pack_params* params) {
  if (runtime == nullptr) return INLAY_ERROR_INVALID_ARGUMENT;
  return create_under(*of(runtime), [&] {
    if (input == nullptr) refuse_null("input");
    if (output == nullptr) refuse_null("output");
    const inlay_pack_params known = read_struct(params, "inlay_pack_params");
    PackWish wish;
    wish.input = input;
    wish.output = output;
    if (known.quantisation != nullptr) wish.quantisation = known.quantisation;
    if (known.imatrix != nullptr) wish.imatrix = known.imatrix;
    if (known.layout != nullptr) wish.layout = known.layout;
    wish.progress = known.progress;
    wish.progress_user_data = known.progress_user_data;
    pack(*of(runtime), wish);
    return INLAY_OK;
  });
}

inlay_status inlay_file_verify(const inlay_file* file, inlay_progress_fn progress, void* user_data) {
  if (file == nullptr) return INLAY_ERROR_INVALID_ARGUMENT;
  return create_under(of(file)->runtime(), [&] {
    const PackageFile* package = of(file)->model().package();
    if (package == nullptr)
      throw Error(INLAY_ERROR_UNSUPPORTED, "the file is no package, so it has no checksums");
    return of(file)->read([&] {
      package->verify(progress, user_data, of(file)->runtime().memory());
      return INLAY_OK;
    });
  });
}
