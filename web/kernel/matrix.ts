// What the page computes fastest in WebAssembly: products of matrices, and the columns that turn a convolution into one.
// AssemblyScript; all places are byte offsets into the memory, all matrices float32 in row-major order.

/** C (m, n) = A (m, k) B (k, n), plus a bias for each row (rowBias) or each column (columnBias); 0 for none. */
export function multiply(
  a: usize,
  b: usize,
  c: usize,
  m: i32,
  n: i32,
  k: i32,
  rowBias: usize,
  columnBias: usize,
): void {
  let row = 0;
  for (; row + 4 <= m; row += 4) {
    let column = 0;
    for (; column + 8 <= n; column += 8) four(a, b, c, row, column, n, k, rowBias, columnBias);
    if (column == n) continue;
    // The last columns: once more as part of a full block, where the matrix has one.
    if (n >= 8) four(a, b, c, row, n - 8, n, k, rowBias, columnBias);
    else for (let i = row; i < row + 4; i++) narrow(a, b, c, i, 0, n, k, rowBias, columnBias);
  }
  for (; row < m; row++) {
    let column = 0;
    for (; column + 16 <= n; column += 16) one(a, b, c, row, column, n, k, rowBias, columnBias);
    if (column == n) continue;
    if (n >= 16) one(a, b, c, row, n - 16, n, k, rowBias, columnBias);
    else narrow(a, b, c, row, 0, n, k, rowBias, columnBias);
  }
}

/** A block of 4 rows and 8 columns. */
function four(
  a: usize,
  b: usize,
  c: usize,
  row: i32,
  column: i32,
  n: i32,
  k: i32,
  rowBias: usize,
  columnBias: usize,
): void {
  const strideA = (<usize>k) << 2;
  const strideB = (<usize>n) << 2;
  let left = columnBias ? v128.load(columnBias + ((<usize>column) << 2)) : f32x4.splat(0);
  let right = columnBias ? v128.load(columnBias + ((<usize>column) << 2), 16) : left;
  let c00 = left,
    c01 = right,
    c10 = left,
    c11 = right,
    c20 = left,
    c21 = right,
    c30 = left,
    c31 = right;
  if (rowBias) {
    const place = rowBias + ((<usize>row) << 2);
    c00 = c01 = v128.load32_splat(place);
    c10 = c11 = v128.load32_splat(place, 4);
    c20 = c21 = v128.load32_splat(place, 8);
    c30 = c31 = v128.load32_splat(place, 12);
  }
  let a0 = a + <usize>row * strideA;
  let a1 = a0 + strideA,
    a2 = a1 + strideA,
    a3 = a2 + strideA;
  let from = b + ((<usize>column) << 2);
  for (let i = 0; i < k; i++) {
    left = v128.load(from);
    right = v128.load(from, 16);
    let factor = v128.load32_splat(a0);
    c00 = f32x4.add(c00, f32x4.mul(factor, left));
    c01 = f32x4.add(c01, f32x4.mul(factor, right));
    factor = v128.load32_splat(a1);
    c10 = f32x4.add(c10, f32x4.mul(factor, left));
    c11 = f32x4.add(c11, f32x4.mul(factor, right));
    factor = v128.load32_splat(a2);
    c20 = f32x4.add(c20, f32x4.mul(factor, left));
    c21 = f32x4.add(c21, f32x4.mul(factor, right));
    factor = v128.load32_splat(a3);
    c30 = f32x4.add(c30, f32x4.mul(factor, left));
    c31 = f32x4.add(c31, f32x4.mul(factor, right));
    from += strideB;
    a0 += 4;
    a1 += 4;
    a2 += 4;
    a3 += 4;
  }
  let to = c + <usize>row * strideB + ((<usize>column) << 2);
  v128.store(to, c00);
  v128.store(to, c01, 16);
  to += strideB;
  v128.store(to, c10);
  v128.store(to, c11, 16);
  to += strideB;
  v128.store(to, c20);
  v128.store(to, c21, 16);
  to += strideB;
  v128.store(to, c30);
  v128.store(to, c31, 16);
}

/** A block of 1 row and 16 columns. */
function one(
  a: usize,
  b: usize,
  c: usize,
  row: i32,
  column: i32,
  n: i32,
  k: i32,
  rowBias: usize,
  columnBias: usize,
): void {
  const strideB = (<usize>n) << 2;
  const bias = columnBias + ((<usize>column) << 2);
  let c0 = f32x4.splat(0);
  if (rowBias) c0 = v128.load32_splat(rowBias + ((<usize>row) << 2));
  let c1 = c0,
    c2 = c0,
    c3 = c0;
  if (columnBias) {
    c0 = v128.load(bias);
    c1 = v128.load(bias, 16);
    c2 = v128.load(bias, 32);
    c3 = v128.load(bias, 48);
  }
  let from = b + ((<usize>column) << 2);
  let place = a + ((<usize>row * <usize>k) << 2);
  for (let i = 0; i < k; i++) {
    const factor = v128.load32_splat(place);
    c0 = f32x4.add(c0, f32x4.mul(factor, v128.load(from)));
    c1 = f32x4.add(c1, f32x4.mul(factor, v128.load(from, 16)));
    c2 = f32x4.add(c2, f32x4.mul(factor, v128.load(from, 32)));
    c3 = f32x4.add(c3, f32x4.mul(factor, v128.load(from, 48)));
    from += strideB;
    place += 4;
  }
  const to = c + <usize>row * strideB + ((<usize>column) << 2);
  v128.store(to, c0);
  v128.store(to, c1, 16);
  v128.store(to, c2, 32);
  v128.store(to, c3, 48);
}

/** The columns of one row of a matrix with few columns. */
function narrow(
  a: usize,
  b: usize,
  c: usize,
  row: i32,
  first: i32,
  n: i32,
  k: i32,
  rowBias: usize,
  columnBias: usize,
): void {
  for (let column = first; column < n; column++) {
    let sum: f32 = 0;
    if (rowBias) sum = load<f32>(rowBias + ((<usize>row) << 2));
    else if (columnBias) sum = load<f32>(columnBias + ((<usize>column) << 2));
    let place = a + ((<usize>row * <usize>k) << 2);
    let from = b + ((<usize>column) << 2);
    for (let i = 0; i < k; i++) {
      sum += load<f32>(place) * load<f32>(from);
      place += 4;
      from += (<usize>n) << 2;
    }
    store<f32>(c + ((<usize>(row * n + column)) << 2), sum);
  }
}

/** From an image (channels, height, width) to the matrix (channels * rows * columns, high * wide) of its windows. */
export function windows(
  image: usize,
  to: usize,
  channels: i32,
  height: i32,
  width: i32,
  rows: i32,
  columns: i32,
  top: i32,
  left: i32,
  strideY: i32,
  strideX: i32,
  high: i32,
  wide: i32,
): void {
  for (let channel = 0; channel < channels; channel++) {
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        for (let y = 0; y < high; y++) {
          const line = y * strideY + row - top;
          if (line < 0 || line >= height) {
            memory.fill(to, 0, (<usize>wide) << 2);
            to += (<usize>wide) << 2;
            continue;
          }
          const from = image + ((<usize>((channel * height + line) * width)) << 2);
          for (let x = 0; x < wide; x++) {
            const place = x * strideX + column - left;
            store<f32>(to, place < 0 || place >= width ? 0 : load<f32>(from + ((<usize>place) << 2)));
            to += 4;
          }
        }
      }
    }
  }
}
