# embed(<target> <symbol> <file>...): the files as one generated C source with a table {name, bytes, length}.
# The table is `const struct embedded <symbol>[]`, ended by a row whose name is NULL; see include/base/embedded.h.
function(embed target symbol)
  if(NOT TARGET ${target})
    return()
  endif()
  set(out ${CMAKE_BINARY_DIR}/embed/${symbol}.c)
  add_custom_command(
    OUTPUT ${out}
    COMMAND ${CMAKE_COMMAND} -DOUT=${out} -DSYMBOL=${symbol} "-DFILES=${ARGN}" -P ${CMAKE_SOURCE_DIR}/server/cmake/embed_files.cmake
    DEPENDS ${ARGN} ${CMAKE_SOURCE_DIR}/server/cmake/embed_files.cmake
    VERBATIM)
  target_sources(${target} PRIVATE ${out})
endfunction()

file(GLOB migration_files CONFIGURE_DEPENDS migrations/*.sql)
embed(store store_migration_files ${migration_files})
if(EXISTS ${CMAKE_SOURCE_DIR}/server/api/openapi.yaml)
  file(GLOB api_files CONFIGURE_DEPENDS server/api/openapi.yaml server/api/pages/*)
  embed(api api_page_files ${api_files})
endif()
