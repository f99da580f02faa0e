# Writes a C++ source with the bytes of files in it, compressed, so that the program needs no file beside it:
#   cmake -DGZIP=gzip -DOUTPUT=F.cpp "-DFILES=a.html;b.js" -P embed_files.cmake
# Equal files give an equal source: gzip -n writes neither name nor time. api/console_assets.h declares what it defines.
set(types html text/html css text/css js text/javascript svg image/svg+xml)
set(contents)
set(rows)
set(number 0)
foreach(file IN LISTS FILES)
  get_filename_component(name ${file} NAME)
  get_filename_component(ending ${file} LAST_EXT)
  string(REPLACE "." "" ending "${ending}")
  list(FIND types "${ending}" at)
  if(at LESS 0)
    message(FATAL_ERROR "${file} is nothing that a page is made of; html, css, js and svg are")
  endif()
  math(EXPR at "${at} + 1")
  list(GET types ${at} type)
  execute_process(COMMAND ${GZIP} -9 -n -c ${file} OUTPUT_FILE ${OUTPUT}.gz COMMAND_ERROR_IS_FATAL ANY)
  file(READ ${OUTPUT}.gz bytes HEX)
  file(SHA256 ${OUTPUT}.gz digest)
  file(REMOVE ${OUTPUT}.gz)
  string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
  string(APPEND contents "constexpr unsigned char kContent${number}[] = {${bytes}};\n")
  string(APPEND rows "    {\"${name}\", \"${type}; charset=utf-8\", \"${digest}\", kContent${number}},\n")
  math(EXPR number "${number} + 1")
endforeach()
file(WRITE ${OUTPUT} "// Made by cmake/embed_files.cmake.
#include \"api/console_assets.h\"

namespace fovea::api {
namespace {
${contents}
constexpr EmbeddedFile kFiles[] = {
${rows}};
}  // namespace

std::span<const EmbeddedFile> embedded_files() { return kFiles; }

}  // namespace fovea::api
")
