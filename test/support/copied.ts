/** How many bytes `Buffer.concat` copied: for costs that grow with the square of what came, which no clock shows. */
export async function copiedBy(work: () => Promise<void>): Promise<number> {
  const concat = Buffer.concat.bind(Buffer);
  let copied = 0;
  Buffer.concat = (list, totalLength) => {
    const all = concat(list, totalLength);
    copied += all.length;
    return all;
  };
  try {
    await work();
  } finally {
    Buffer.concat = concat;
  }
  return copied;
}
