// Shared by the sheet and the viewer. Knows the markup of a cell; knows nothing of the socket.
export { default as Cell } from "studio-parts/cell.js";
