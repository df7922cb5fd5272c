/**
 * How Node runs the balancer, here, in the bench and where it is deployed. Small young generations: with thousands of streams
 * the default of 16 MiB let garbage grow to 25 KiB more a stream, and made pauses of tens of milliseconds of it. And no signal opens
 * a debugger, through which every key and prompt could be read.
 */
export const NODE_FLAGS: readonly string[] = ['--max-semi-space-size=8', '--disable-sigusr1'];
