#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "formats/blocks.h"
#include "formats/checksum.h"
#include "formats/dequantize.h"
#include "formats/small_floats.h"
#include "formats/tiles.h"
#include "tests/random_weights.h"

using namespace inlay;
using namespace inlay::test;

// The layout of CUDA's kernels, made on any processor: a second, slow reading of it gives every weight back,
// and its bytes are those that the kernels were tested with.

namespace {

constexpr TensorType kTypes[] = {
#define INLAY_TYPE(name, number, elements, bytes) TensorType::name,
    INLAY_FOR_EACH_TENSOR_TYPE(INLAY_TYPE) INLAY_FOR_EACH_OWN_TENSOR_TYPE(INLAY_TYPE)
#undef INLAY_TYPE
};

uint32_t word_at(const std::byte* p) {
  uint32_t word = 0;
  std::memcpy(&word, p, sizeof word);
  return word;
}
uint32_t byte_at(const std::byte* p) { return std::to_integer<uint32_t>(*p); }
double half_at(const std::byte* p) {
  uint16_t bits = 0;
  std::memcpy(&bits, p, sizeof bits);
  return half_to_float(bits);
}

/// Where a column of a tile is: of group j, half h, the lane's column c of four.
struct Place {
  uint32_t j, h, t, c;
};
Place place_of(uint32_t column) { return {column / 32, column / 16 % 2, column / 4 % 4, column % 4}; }

/// Bits of a lane's words.
struct LaneWords {
  const std::byte* tile;
  uint32_t words, lane;

  uint32_t word(uint32_t n) const {
    const bool last_pair = words % 4 == 2 && n >= words - 2;
    return word_at(tile + (last_pair ? (words - 2) * 128 + lane * 8 + (n - (words - 2)) * 4
                                     : n / 4 * 512 + lane * 16 + n % 4 * 4));
  }
  uint32_t bits(uint32_t n, uint32_t at, uint32_t count) const {
    const uint32_t w = word(n), turned = at % 32 == 0 ? w : w >> at % 32 | w << (32 - at % 32);
    return turned & ((1u << count) - 1);
  }
};

/// The code of a column, by how many bits codes have: bit positions as the kernels' masks have them.
uint32_t code_of(TensorType type, const std::byte* tile, uint32_t row, uint32_t column) {
  const Place p = place_of(column);
  const uint32_t lane = 4 * row + p.t, i = p.c / 2, upper = p.c % 2 * 16;
  const auto of = [&](uint32_t words) { return LaneWords{tile, words, lane}; };
  const uint32_t c = column % 64;  // of a lane that holds 64 neighbours
  const auto small = [&](uint32_t words) { return LaneWords{tile, words, 4 * row + column / 64}; };
  switch (type) {
    case TensorType::Q4_0:
    case TensorType::Q4_1:
    case TensorType::Q4_K: return of(8).bits(p.j / 2 * 2 + p.h, 2 + 4 * (p.j % 2) + upper + 8 * i, 4);
    case TensorType::IQ4_NL:
    case TensorType::IQ4_XS:
    case TensorType::MXFP4:
    case TensorType::NVFP4: return of(8).bits(p.j / 2 * 2 + p.h, 16 * (p.j % 2) + 4 * p.c, 4);
    case TensorType::Q8_0: return of(16).bits(2 * p.j + p.h, 8 * p.c, 8);
    case TensorType::Q2_K: return small(4).bits(c / 16, c % 4 * 8 + c % 16 / 4 * 2, 2);
    case TensorType::Q5_0:
    case TensorType::Q5_1:
    case TensorType::Q5_K: {
      const uint32_t n = 4 * (p.j % 4) + 2 * p.h + i, base = p.j / 4 * 5;
      if (n < 15) return of(10).bits(base + n / 3, (n % 3 == 0 ? 5 : n % 3 == 1 ? 10 : 0) + upper, 5);
      uint32_t code = 0;
      for (uint32_t b = 0; b < 5; ++b) code |= of(10).bits(base + 4 - b, 15 + upper, 1) << b;
      return code;
    }
    case TensorType::Q6_K: {
      const uint32_t n = 4 * (p.j % 2) + 2 * p.h + i, base = p.j / 2 * 3;
      if (n < 6) return of(12).bits(base + n / 2, (n % 2 == 0 ? 4 : 10) + upper, 6);
      return of(12).bits(base + (n == 6 ? 0 : 2), upper, 4) << 2 |
             of(12).bits(base + 1, (n == 6 ? 0 : 2) + upper, 2);
    }
    case TensorType::Q3_K: {
      const uint32_t first = c / 32 * 3, n = c % 32 / 4, at = c % 4 * 8;
      if (n < 6) return small(6).bits(first + n / 2, at + n % 2 * 3, 3);
      uint32_t spare = 0;
      for (uint32_t w = 0; w < 3; ++w) spare |= small(6).bits(first + w, at + 6, 2) << (2 * w);
      return n == 6 ? spare & 7 : spare >> 3;
    }
    default: return 0;
  }
}

double block_weight(TensorType type, const std::byte* tile, uint32_t row, uint32_t column) {
  const uint32_t code = code_of(type, tile, row, column), group = column / 32, fine = column / 16;
  const auto half_of = [&](uint32_t offset) {
    return half_at(tile + offset + row * 16 + group % 4 * 4 + group / 4 * 2);
  };
  switch (type) {
    case TensorType::Q4_0: return half_of(1024) * (code - 8.0);
    case TensorType::Q4_1: return half_of(1024) * code + half_of(1152);
    case TensorType::Q5_0: return half_of(1280) * (code - 16.0);
    case TensorType::Q5_1: return half_of(1280) * code + half_of(1408);
    case TensorType::Q8_0: return half_of(2048) * (code - 128.0);
    case TensorType::IQ4_NL: return half_of(1024) * kIQ4Values[code];
    case TensorType::Q4_K:
    case TensorType::Q5_K: {
      const std::byte* s = tile + (type == TensorType::Q4_K ? 1024 : 1280) + row * 16;
      const uint32_t own = byte_at(s + group), mins = byte_at(s + 8 + group % 4);
      const uint32_t min = (group < 4 ? mins & 15 : mins >> 4) | own >> 6 << 4;
      return half_at(s + 12) * (own & 63) * code - half_at(s + 14) * min;
    }
    case TensorType::Q6_K:
      return half_at(tile + 1664 + row * 2) * (byte_at(tile + 1536 + row * 16 + fine) - 128.0) *
             (code - 32.0);
    case TensorType::Q2_K: {
      const uint32_t s = byte_at(tile + 512 + row * 16 + fine);
      return half_at(tile + 640 + row * 4) * (s & 15) * code - half_at(tile + 642 + row * 4) * (s >> 4);
    }
    case TensorType::Q3_K: {
      const uint32_t i = fine / 4, t = fine % 4;
      const uint32_t low = byte_at(tile + 768 + row * 8 + i / 2 * 4 + t) >> (i % 2 * 4) & 15;
      const uint32_t high = byte_at(tile + 832 + row * 4 + t) >> (i * 2) & 3;
      const uint32_t scale = low | high << 4;
      return half_at(tile + 864 + row * 2) * (scale - 32.0) * (code - 4.0);
    }
    case TensorType::IQ4_XS:
      return half_at(tile + 1088 + row * 2) * (byte_at(tile + 1024 + row * 8 + group) - 32.0) *
             kIQ4Values[code];
    case TensorType::MXFP4:
      return half_e8m0_to_float(static_cast<uint8_t>(byte_at(tile + 1024 + row * 8 + group))) *
             kDoubledE2M1Values[code];
    case TensorType::NVFP4:
      return half_ue4m3_to_float(static_cast<uint8_t>(byte_at(tile + 1024 + row * 16 + fine))) *
             kDoubledE2M1Values[code];
    default: return 0;
  }
}

double float_weight(TensorType type, const std::byte* tile, uint32_t row, uint32_t column) {
  const Place p = place_of(column);
  const uint32_t stride = type == TensorType::F32 ? 1024 : 512;
  const std::byte* at = tile + p.j * stride + (4 * row + p.t) * 16 + (p.h * 4 + p.c) * 2;
  if (type == TensorType::F32) return half_at(at) + half_at(at + 512) / 2048;
  return half_at(at) / (type == TensorType::F16 ? 1 : 64);
}

double weight_of(TensorType type, const std::byte* tiles, uint32_t rows, uint32_t row, uint32_t column) {
  const uint32_t tile_rows = (rows + kTileRows - 1) / kTileRows;
  const std::byte* tile =
      tiles + (column / kTileColumns * tile_rows + row / kTileRows) * size_t{tile_bytes(type)};
  const bool floats = type == TensorType::F32 || type == TensorType::F16 || type == TensorType::BF16 ||
                      type == TensorType::FP8;
  return floats ? float_weight(type, tile, row % kTileRows, column % kTileColumns)
                : block_weight(type, tile, row % kTileRows, column % kTileColumns);
}

struct Rows {
  Rows(TensorType type, uint32_t rows, uint32_t columns) : bytes(rows * row_bytes(type, columns)) {
    std::mt19937 random(41 + static_cast<uint32_t>(type));
    for (uint32_t r = 0; r < rows; ++r)
      fill_random_weights(type, columns, random, bytes.data() + r * row_bytes(type, columns));
  }
  std::vector<std::byte> bytes;
};

}  // namespace

TEST_CASE("tiles: every weight of every type is where the kernels look for it") {
  constexpr uint32_t kRows = 27;
  for (const TensorType type : kTypes) {
    for (const uint32_t columns : {512u, 768u, 1280u, 128u * (traits(type).block_elements < 256 ? 3 : 2)}) {
      CAPTURE(std::string(traits(type).name));
      CAPTURE(columns);
      const Rows from(type, kRows, columns);
      std::vector<std::byte> tiles(bytes_in_tiles(type, kRows, columns), std::byte{0xEE});
      const uint64_t row = row_bytes(type, columns);
      pack_tiles(type, from.bytes.data(), 0, 16, kRows, columns, tiles.data());  // in two parts
      pack_tiles(type, from.bytes.data() + 16 * row, 16, kRows - 16, kRows, columns, tiles.data());
      std::vector<float> expected(columns);
      uint64_t wrong = 0;
      for (uint32_t r = 0; r < kRows; ++r) {
        dequantize_row(type, from.bytes.data() + r * row, columns, expected.data());
        for (uint32_t k = 0; k < columns; ++k) {
          const double weight = weight_of(type, tiles.data(), kRows, r, k);
          // F16 has 11 bits; the others are the same number, but for float32's last.
          const double bound = type == TensorType::BF16 || type == TensorType::FP8 ? 0x1p-11 : 0x1p-21;
          wrong += std::fabs(weight - expected[k]) > bound * std::fabs(expected[k]) + 1e-6 ? 1 : 0;
        }
      }
      CHECK(wrong == 0);
    }
  }
}

TEST_CASE("tiles: what is beyond the matrix is zero, and what is behind the tiles is left") {
  for (const TensorType type : kTypes) {
    CAPTURE(std::string(traits(type).name));
    const uint32_t columns = traits(type).block_elements == 256 ? 256 : 128;
    constexpr uint32_t kRows = 3;
    const Rows from(type, kRows, columns);
    const uint64_t bytes = bytes_in_tiles(type, kRows, columns);
    CHECK(bytes % kTilesAlignment == 0);
    std::vector<std::byte> tiles(bytes, std::byte{0xEE});
    pack_tiles(type, from.bytes.data(), 0, kRows, kRows, columns, tiles.data());
    for (uint64_t i = tile_bytes(type); i < bytes; ++i) REQUIRE(tiles[i] == std::byte{0xEE});
    uint64_t wrong = 0;
    for (uint32_t r = 0; r < kTileRows; ++r) {
      for (uint32_t k = 0; k < kTileColumns; ++k) {
        if (r < kRows && k < columns) continue;
        const double weight = weight_of(type, tiles.data(), kRows, r, k);
        wrong += weight != 0 ? 1 : 0;
      }
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("tiles: a layout's bytes never change under its name") {
  // Where the bytes differ, files in the layout would be read as what they are not: kTilesLayout takes the
  // next number, and these the new values.
  struct Known {
    TensorType type;
    uint64_t checksum;
  };
  constexpr Known kKnown[] = {
      {TensorType::F32, 0x4A818C361A8750E2u},    {TensorType::F16, 0x74C68BBFB687BC11u},
      {TensorType::BF16, 0x55EC750472593F45u},   {TensorType::Q4_0, 0x123AC605F1CA4781u},
      {TensorType::Q4_1, 0xC114A4C79DD4CBD6u},   {TensorType::Q5_0, 0x3EF6F6F4F5AED88Du},
      {TensorType::Q5_1, 0x5BEA6D6257342631u},   {TensorType::Q8_0, 0xD87CE794A7C67F58u},
      {TensorType::Q2_K, 0xA9DBA029BADE1FD8u},   {TensorType::Q3_K, 0x173E2C1C2F095553u},
      {TensorType::Q4_K, 0x4509F10DEC6B9B5Eu},   {TensorType::Q5_K, 0xBC2872CCF8EF8F98u},
      {TensorType::Q6_K, 0x8F5C7FF2656B6BCBu},   {TensorType::IQ4_NL, 0x959E43B7FB02CCCFu},
      {TensorType::IQ4_XS, 0x3280038BD14975C8u}, {TensorType::MXFP4, 0xEFFCE6228992EC64u},
      {TensorType::NVFP4, 0xF4F550FD5763C633u},  {TensorType::FP8, 0xC29448E307EDDCF1u},
  };
  constexpr uint32_t kRows = 21;
  static_assert(kTilesLayout == "cuda-tiles-1");
  static_assert(std::size(kKnown) == kTensorTypeCount);
  for (const Known& known : kKnown) {
    CAPTURE(std::string(traits(known.type).name));
    const uint32_t columns = 1280;
    std::vector<std::byte> rows(kRows * row_bytes(known.type, columns));
    uint32_t state = 1;
    for (size_t i = 0; i < rows.size(); ++i) {
      state = state * 1664525 + 1013904223;
      rows[i] = static_cast<std::byte>(state >> 24);
      // Numbers, none of them infinite: those have their exponent in bytes 3 of 4, 1 of 2, or 3 of a block.
      const bool exponent = known.type == TensorType::FP8 ? i % 132 == 3
                            : traits(known.type).block_elements == 1
                                ? i % traits(known.type).block_bytes + 1 == traits(known.type).block_bytes
                                : false;
      if (exponent) rows[i] &= std::byte{0x3F};
    }
    std::vector<std::byte> tiles(bytes_in_tiles(known.type, kRows, columns));
    pack_tiles(known.type, rows.data(), 0, kRows, kRows, columns, tiles.data());
    CHECK(checksum_of(tiles.data(), tiles.size()) == known.checksum);
  }
}
