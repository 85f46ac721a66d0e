/** The build for browsers: the other one asks for Node's streams. */
declare module 'papaparse/papaparse.min.js' {
  import * as Papa from 'papaparse';
  export default Papa;
}
