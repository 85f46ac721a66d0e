/** Whether a port can be had, asked before minutes of work are done for a server that then cannot start. */
import { createServer } from 'node:net';
import { OperatorError, systemCodeOf } from '../support/operator-error.ts';

export const LISTEN_HOST = '127.0.0.1';

export function addressInUse(port: number): OperatorError {
  return new OperatorError(
    'address_in_use',
    `Port ${port} is in use by another program.`,
    'Stop that program, or choose another port with --port or PORT.',
  );
}

/** Throws `address_in_use` when something listens on the port. 0 is always free. */
export async function assertPortFree(port: number): Promise<void> {
  const server = createServer();
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, LISTEN_HOST, resolve);
    });
  } catch (error) {
    if (systemCodeOf(error) === 'EADDRINUSE') {
      throw addressInUse(port);
    }
    if (systemCodeOf(error) === 'EACCES') {
      throw new OperatorError('usage', `Port ${port} needs more rights than this user has.`, 'Choose one above 1023.');
    }
    throw error;
  }
  await new Promise((resolve) => server.close(resolve));
}
