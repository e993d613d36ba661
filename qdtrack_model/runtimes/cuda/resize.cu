// Images resized on the GPU, to the bit as OpenCV resizes on the CPU (linear, 8 bits a channel): each pixel is mixed of two
// of the source in either direction. Which, and by which of 2048 parts, the host says for each column and row.

extern "C" __global__ void resize(
    const unsigned char *source, unsigned char *target, const int4 *columns, const int4 *rows, // x, y: which; z, w: parts
    int source_row, int source_channels, int target_row, int target_channels, // bytes from row to row; 1 or 3
    int width, int height) // of what is made
{
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height) {
        return;
    }
    const int4 column = columns[x], row = rows[y];
    const unsigned char *upper = source + (size_t)row.x * source_row;
    const unsigned char *lower = source + (size_t)row.y * source_row;
    unsigned char *pixel = target + (size_t)y * target_row + x * target_channels;
    for (int channel = 0; channel < target_channels; channel++) {
        const int from = source_channels == 1 ? 0 : channel; // grey is three times the same
        const int left = column.x * source_channels + from, right = column.y * source_channels + from;
        const int above = upper[left] * column.z + upper[right] * column.w;
        const int below = lower[left] * column.z + lower[right] * column.w;
        pixel[channel] = ((row.z * (above >> 4) >> 16) + (row.w * (below >> 4) >> 16) + 2) >> 2;
    }
}
